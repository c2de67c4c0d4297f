"""The photographs that are classified, and the label that each must get."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).parents[4] / "samples"
LARGE_PIXELS = 12_000_000


@dataclass(frozen=True)
class Photograph:
    """An image file and the label it must get."""

    name: str
    data: bytes
    label: str


@cache
def samples() -> tuple[Photograph, ...]:
    """Return the sample photographs as they are stored."""
    with (SAMPLES / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Photograph(row["Image"], (SAMPLES / row["Image"]).read_bytes(), row["Results"])
        for row in rows
    )


@cache
def large() -> tuple[Photograph, ...]:
    """Return the sample photographs as 12-megapixel JPEGs, every third one progressive.

    Some noise makes them as hard to compress as what a telephone takes.
    """
    return tuple(
        Photograph(f"large-{each.name}", _enlarged(each.data, number), each.label)
        for number, each in enumerate(samples())
    )


def sizes(photographs: tuple[Photograph, ...]) -> str:
    """Say how large some photographs are."""
    bytes_ = sorted(len(each.data) for each in photographs)
    pixels = sorted(_pixels(each.data) for each in photographs)
    return (
        f"{len(photographs)} photographs of {pixels[0] / 1e6:.2f} to {pixels[-1] / 1e6:.2f} "
        f"megapixels, {bytes_[0] / 1e3:,.0f} to {bytes_[-1] / 1e3:,.0f} KB"
    )


def _enlarged(data: bytes, number: int) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        scale = math.sqrt(LARGE_PIXELS / (image.width * image.height))
        size = round(image.width * scale), round(image.height * scale)
        pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    noise = np.random.default_rng(number).integers(-6, 7, pixels.shape, dtype=np.int16)
    noisy = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    noisy.save(file, "JPEG", quality=88, progressive=number % 3 == 2)
    return file.getvalue()


def _pixels(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return image.width * image.height
