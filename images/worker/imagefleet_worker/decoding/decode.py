"""From the bytes of an image file to pixels, in this process."""

from __future__ import annotations

import numpy as np

from imagefleet_worker.decoding import picture
from imagefleet_worker.decoding.formats import BadImageError
from imagefleet_worker.decoding.pixels import Pixels
from imagefleet_worker.recipe import Recipe

__all__ = ["DEFAULT_MAX_PIXELS", "BadImageError", "Pixels", "decode"]

# Enough for the 50-megapixel cameras of telephones.
DEFAULT_MAX_PIXELS = 50_000_000


def decode(data: bytes, recipe: Recipe, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """Return the picture in `data` as uint8 RGB of shape (height, width, 3).

    What a file does to its decoder it does to this process here; workers use `Decoders`.

    Args:
        max_pixels: a header that announces more is refused before anything is decoded.

    Raises:
        BadImageError: for any bytes that aren't a whole picture in an accepted format.
        MemoryError: there is not enough of it.
    """
    height, width, rgb = picture.read(data, recipe, max_pixels)
    return np.frombuffer(bytearray(rgb), np.uint8).reshape(height, width, 3)
