"""The format and size of a picture, from its first bytes and never from its name.

Only headers are read. Pillow's readers are called one by one and not through `Image.open`, so
that a format is chosen here and Pillow's own limit on pixels stays out of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

# How each format's files begin; a JPEG that holds several pictures (MPO) begins as any other.
_BEGINNINGS = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM"),
    "TIFF": re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
}
_BEGINNING_BYTES = 12
_READERS: dict[str, Callable[[BinaryIO], Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}

NAMES = tuple(_BEGINNINGS)


def content_type(name: str) -> str:
    """Return a format's media type."""
    return f"image/{name.lower()}"


def recognise(body: BinaryIO) -> str | None:
    """Return the name of the format that `body` begins as, or None for any other file."""
    body.seek(0)
    beginning = body.read(_BEGINNING_BYTES)
    return next((name for name, begin in _BEGINNINGS.items() if begin.match(beginning)), None)


def dimensions(name: str, body: BinaryIO) -> tuple[int, int]:
    """Return width and height in pixels; raises ValueError if the header tells none."""
    body.seek(0)
    if name == "WebP":
        return _webp_dimensions(body.read(30))
    try:
        return _READERS[name](body).size
    except Exception as error:
        # Pillow's readers have no common error for headers that were made to mislead them.
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _webp_dimensions(header: bytes) -> tuple[int, int]:
    """Read a WebP's size; Pillow would load the file and allocate its canvas twice for that.

    https://developers.google.com/speed/webp/docs/riff_container, RFC 6386 and RFC 9649.
    """
    chunk = header[12:16]
    if len(header) == 30 and chunk == b"VP8X":
        return _little(header[24:27]) + 1, _little(header[27:30]) + 1
    if len(header) >= 25 and chunk == b"VP8L" and header[20] == 0x2F:
        bits = _little(header[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(header) == 30 and chunk == b"VP8 " and header[23:26] == b"\x9d\x01\x2a":
        return _little(header[26:28]) & 0x3FFF, _little(header[28:30]) & 0x3FFF
    raise ValueError("the first chunk tells no size")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
