"""Tells blurred, dark and doubled photographs from the good ones, and what colours they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from imagefleet_worker.processors import Pixels, Recipe, Resources

COLOURS = 5


class PhotoQuality:
    """Sharpness, brightness, main colours and a fingerprint of each photograph."""

    name = "photo-quality@1"
    # Whole pictures, all at the same size: sharpness means nothing between sizes.
    recipe = Recipe(size=512, resize=512, interpolation="bilinear", crop=False)

    def __init__(self, resources: Resources) -> None:
        """Load what the work needs: here nothing, elsewhere a network from `model_dir`."""

    def process(self, images: Sequence[Pixels]) -> list[dict[str, Any]]:
        """Return one JSON object a photograph."""
        return [self._describe(Image.fromarray(image)) for image in images]

    def _describe(self, photo: Image.Image) -> dict[str, Any]:
        grey = photo.convert("L")
        return {
            "sharpness": round(sharpness(grey), 1),
            "brightness": round(float(np.asarray(grey).mean()) / 255, 3),
            "colours": main_colours(photo),
            "fingerprint": fingerprint(grey),
        }


def sharpness(grey: Image.Image) -> float:
    """Return the variance of the Laplacian, which is small where nothing has an edge.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000. Photographs
    below about 100 look blurred.
    """
    at = np.asarray(grey, np.float32)
    if min(at.shape) < 3:
        return 0.0
    beside = at[:-2, 1:-1] + at[2:, 1:-1] + at[1:-1, :-2] + at[1:-1, 2:]
    return float((beside - 4 * at[1:-1, 1:-1]).var())


def main_colours(photo: Image.Image) -> list[dict[str, Any]]:
    """Return up to five colours by median cut, the most frequent first."""
    few = photo.resize((64, 64)).quantize(COLOURS, Image.Quantize.MEDIANCUT)
    palette = few.getpalette() or []
    counts: list[tuple[int, int]] = few.getcolors() or []  # type: ignore[assignment]
    return [
        {
            "colour": "#{:02x}{:02x}{:02x}".format(*palette[3 * i : 3 * i + 3]),
            "share": round(n / 64**2, 3),
        }
        for n, i in sorted(counts, reverse=True)
    ]


def fingerprint(grey: Image.Image) -> str:
    """Return 64 bits in hexadecimal that stay nearly the same when a photograph is resized.

    Each tells whether it gets brighter from one field to the next of 8 rows of 9: "dHash",
    https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html. Two
    photographs whose fingerprints differ in less than ten bits are likely the same.
    """
    fields = np.asarray(grey.resize((9, 8)))
    return np.packbits(fields[:, 1:] > fields[:, :-1]).tobytes().hex()
