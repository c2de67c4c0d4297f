"""What a network wants its pictures to be like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

INTERPOLATIONS = ("bicubic", "bilinear")


class Picture(NamedTuple):
    """A decoded picture: its size in pixels, and red, green and blue of each, row by row."""

    height: int
    width: int
    rgb: bytes


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a picture of any size becomes one of the size that is worked on.

    With `crop`, as networks are trained: the shorter side is scaled to `resize` pixels, of which
    the central square of `size` is kept. Without, the picture keeps its proportions and is made
    so small that its longer side has `size` pixels, but never larger than it is.
    Colours stay 0 to 255: subtracting a mean is part of the network's graph.

    Attributes:
        size: side of the square or longest side, in pixels.
        resize: length of the picture's shorter side before the square is cut out, in pixels;
            means nothing without `crop`.
        interpolation: `bicubic` or `bilinear`.
        crop: whether the square in the middle is cut out.

    Raises:
        ValueError: no picture can be made that way.
    """

    size: int
    resize: int
    interpolation: str
    crop: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size {self.size} must be at least 1")
        if self.crop and self.size > self.resize:
            raise ValueError(f"size {self.size} must be from 1 to resize {self.resize}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation {self.interpolation!r} must be {' or '.join(INTERPOLATIONS)}"
            )

    @property
    def most_bytes(self) -> int:
        """What a picture takes at most."""
        return 3 * self.size**2
