"""What memory is foreseen for a picture, held against what decoding it takes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image

import photographs
from imagefleet_worker.decoding import picture
from imagefleet_worker.recipe import Recipe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

MB = 1_000_000
FAST = {"compress_level": 1}
ONE_STRIP = {"strip_size": 2**30}
SIDEWAYS = Image.Exif()
SIDEWAYS[274] = 6

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("RGB", "JPEG", {}),
    "JPEG, CMYK": ("CMYK", "JPEG", {}),
    "JPEG, progressive": ("RGB", "JPEG", {"progressive": True}),
    "JPEG, progressive, 4:4:4": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "PNG": ("RGB", "PNG", FAST),
    "PNG, grey": ("L", "PNG", FAST),
    "PNG, 16 bits": ("I;16", "PNG", FAST),
    "PNG, transparent": ("RGBA", "PNG", FAST),
    "PNG, grey and transparent": ("LA", "PNG", FAST),
    "PNG, a transparent colour": ("RGB", "PNG", {"transparency": (1, 2, 3), **FAST}),
    "WebP": ("RGB", "WebP", {"method": 0}),
    "WebP, lossless": ("RGBA", "WebP", {"lossless": True, "method": 0, "quality": 0}),
    "GIF": ("P", "GIF", {}),
    "GIF, transparent": ("P", "GIF", {"transparency": 3}),
    "BMP": ("1", "BMP", {}),
    "TIFF": ("RGB", "TIFF", {}),
    "TIFF, one strip": ("RGB", "TIFF", {"compression": "tiff_lzw", **ONE_STRIP}),
    "TIFF, one strip of floats": ("F", "TIFF", {"compression": "tiff_lzw", **ONE_STRIP}),
    "TIFF, sideways": ("RGB", "TIFF", {"exif": SIDEWAYS}),
}


def measure(data: bytes, *recipe: str) -> tuple[int, int]:
    """Return the bytes that decoding took and that were foreseen."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "footprint_probe", *recipe],
        input=data,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    took, asked = ended.stdout.split()
    return int(took), int(asked)


def photograph(kind: str, size: tuple[int, int]) -> bytes:
    mode, file_format, options = KINDS[kind]
    image = Image.open(io.BytesIO(photographs.jpeg("coffee"))).convert("RGB").resize(size)
    if mode == "I;16":
        image = image.convert("I").point(lambda grey: grey * 257).convert("I;16")
    file = io.BytesIO()
    image.convert(mode).save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_as_much_memory_is_foreseen_as_decoding_takes(kind: str) -> None:
    took, asked = measure(photograph(kind, (2400, 1600)), "224", "crop")

    assert took <= asked < 1.35 * took + 10 * MB


@pytest.mark.parametrize("side", ["500", "1500", "2400"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG, transparent", "WebP"])
def test_it_is_foreseen_for_large_results_too(kind: str, side: str) -> None:
    took, asked = measure(photograph(kind, (2400, 1600)), side, "whole")

    assert took <= asked < 2 * took + 10 * MB


def foreseen(data: bytes) -> int:
    """Return the bytes that a decoder would ask for."""
    asked: list[int] = []

    def admit(needed: int) -> None:
        asked.append(needed)
        raise MemoryError

    with pytest.raises(MemoryError):
        picture.read(data, Recipe(224, 256, "bicubic"), 10**9, admit)
    return asked[0]


def test_a_jpeg_in_several_scans_needs_what_a_progressive_one_does() -> None:
    # given a JPEG that isn't progressive, and whose first scan has only one of its colours
    plain = photograph("JPEG", (2400, 1600))
    start = plain.index(b"\xff\xda") + 2
    first_scan = b"\0\x08\x01\x01\0\0\x3f\0"
    scans = plain[:start] + first_scan + plain[start + 12 :]

    assert foreseen(plain) < 10 * MB
    assert foreseen(scans) == foreseen(photograph("JPEG, progressive", (2400, 1600)))
