"""The format and size of a picture, from its first bytes and never from its name.

Only headers are read. Pillow's readers are called one by one and not through `Image.open`, so
that a format is chosen here and Pillow's own limit on pixels stays out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from imagefleet_core import formats
from imagefleet_core.formats import NAMES

__all__ = ["NAMES", "content_type", "dimensions", "recognise"]

_READERS: dict[str, Callable[[BinaryIO], Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}


def content_type(name: str) -> str:
    """Return a format's media type."""
    return f"image/{name.lower()}"


def recognise(body: BinaryIO) -> str | None:
    """Return the name of the format that `body` begins as, or None for any other file."""
    body.seek(0)
    return formats.recognise(body.read(formats.HEADER_BYTES))


def dimensions(name: str, body: BinaryIO) -> tuple[int, int]:
    """Return width and height in pixels; raises ValueError if the header tells none."""
    body.seek(0)
    if name == "WebP":
        return formats.webp_dimensions(body.read(formats.HEADER_BYTES))
    try:
        return _READERS[name](body).size
    except Exception as error:
        # Pillow's readers have no common error for headers that were made to mislead them.
        raise ValueError(f"{type(error).__name__}: {error}") from error
