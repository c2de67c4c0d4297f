"""What one upload may be; every limit and every refusal of a file is here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.uploads import formats


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request and of each of its files.

    Attributes:
        formats: the names of the formats that are accepted.
    """

    max_files: int
    max_file_bytes: int
    max_request_bytes: int
    max_pixels: int
    formats: tuple[str, ...] = formats.NAMES

    def check(self, size: int, body: BinaryIO) -> str:
        """Return the media type of a file of `size` bytes; raises `Problem` to refuse it.

        `body` may be cut short after `max_file_bytes`. A file whose header is sound passes here,
        whatever follows: whether the picture itself can be decoded is for a worker to find out.
        """
        if size == 0:
            raise Problem(problems.EMPTY_FILE, "The file is empty.")
        if size > self.max_file_bytes:
            raise Problem(
                problems.FILE_TOO_LARGE,
                f"The file has {size:,} bytes; at most {self.max_file_bytes:,} are accepted.",
            )
        name = formats.recognise(body)
        if name is None:
            known = f"{', '.join(self.formats[:-1])} or {self.formats[-1]}"
            raise Problem(problems.UNSUPPORTED_FORMAT, f"This is not a picture in {known}.")
        self._check_pixels(name, body)
        return formats.content_type(name)

    def _check_pixels(self, name: str, body: BinaryIO) -> None:
        try:
            width, height = formats.dimensions(name, body)
        except ValueError as error:
            raise Problem(
                problems.BROKEN_IMAGE, f"The file begins as {name}, but its header can't be read."
            ) from error
        if width * height > self.max_pixels:
            raise Problem(
                problems.TOO_MANY_PIXELS,
                f"The image has {width} x {height} pixels; "
                f"at most {self.max_pixels:,} are accepted.",
            )
