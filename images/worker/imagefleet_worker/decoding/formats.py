"""Why a file is no picture: what else it is, or that its end is missing."""

from __future__ import annotations

import re
from typing import Literal

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.formats import NAMES, recognise

Code = Literal[
    "empty_file",
    "not_an_image",
    "unsupported_format",
    "too_many_pixels",
    "too_much_memory",
    "truncated",
    "corrupt",
    "decode_timeout",
    "decoder_crashed",
]

ACCEPTED = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"

# Files that people send for pictures and that this project doesn't open.
_OTHERS = {
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(he[iv][cmsx]|mi[af]1|msf1)",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "Photoshop": rb"8BPS",
    "icon": rb"\0\0\x01\0",
    "PDF": rb"%PDF-",
    "SVG": rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE[^>]*>\s*)?<svg\b",
}
_BEGINNING_BYTES = 1024


class BadImageError(ImagefleetError):
    """The bytes can't be shown as a picture, and trying again would not help.

    Attributes:
        code: names the reason for programs; the message tells it to people.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code


def identify(data: bytes) -> str:
    """Return the name of the format that `data` begins as.

    Raises:
        BadImageError: `empty_file`, `unsupported_format` or `not_an_image`.
    """
    if not data:
        raise BadImageError("empty_file", "The file is empty.")
    if name := recognise(data):
        return name
    if name := _other(data):
        raise BadImageError(
            "unsupported_format", f"{name} files are not supported; send {ACCEPTED}."
        )
    raise BadImageError("not_an_image", f"The file is not a picture; send {ACCEPTED}.")


def ends_early(format_name: str, data: bytes) -> bool:
    """Return whether a file that could not be read lacks its end, as far as its format tells."""
    match format_name:
        case "JPEG":
            return b"\xff\xd9" not in data[-64:]
        case "PNG":
            return b"IEND" not in data[-64:]
        case "GIF":
            return b";" not in data[-64:]
        case "WebP":
            return len(data) < int.from_bytes(data[4:8], "little") + 8
        case "BMP":
            return len(data) < int.from_bytes(data[2:6], "little")
        case _:
            return _tiff_ends_early(data)


def _tiff_ends_early(data: bytes) -> bool:
    """Return whether the directory, which often stands at the end, is not whole."""
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    start = int.from_bytes(data[4:8], order)
    entries = int.from_bytes(data[start : start + 2], order)
    return len(data) < start + 2 + 12 * entries


def _other(data: bytes) -> str | None:
    beginning = data[:_BEGINNING_BYTES]
    matches = (name for name, begin in _OTHERS.items() if re.match(begin, beginning, re.DOTALL))
    return next(matches, None)
