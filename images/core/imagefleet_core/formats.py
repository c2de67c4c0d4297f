"""What kind of picture some bytes are, told from how they begin and never from a name."""

from __future__ import annotations

import re

# How each format's files begin. A JPEG that holds several pictures (MPO) begins as any other.
_BEGINNINGS = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM"),
    "TIFF": re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
}

# The formats that are accepted.
NAMES = tuple(_BEGINNINGS)

# As many bytes of a file as anything here looks at.
HEADER_BYTES = 30


def recognise(header: bytes) -> str | None:
    """Return the name of the format that a file begins as, or None for any other file."""
    return next((name for name, begin in _BEGINNINGS.items() if begin.match(header)), None)


def webp_dimensions(header: bytes) -> tuple[int, int]:
    """Return width and height; Pillow would allocate the whole canvas twice to tell them.

    https://developers.google.com/speed/webp/docs/riff_container, RFC 6386 and RFC 9649.

    Raises:
        ValueError: the header tells none.
    """
    header = header[:HEADER_BYTES]
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
