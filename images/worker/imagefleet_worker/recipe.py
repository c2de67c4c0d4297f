"""What a network wants its pictures to be like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a picture of any size becomes the square that a network was trained on.

    The shorter side is scaled to `resize` pixels, of which the central square of `size` is kept.
    Colours stay 0 to 255: subtracting a mean is part of the network's graph.

    Attributes:
        size: side of the square, in pixels.
        resize: length of the picture's shorter side before the square is cut out, in pixels.
        interpolation: `bicubic` or `bilinear`.
    """

    size: int
    resize: int
    interpolation: str
