"""Ways from a JPEG file to the square that the network takes, by what decodes and what shrinks.

All but the reference decode at the worker's scale, and all cut the same square out. Pillow's
resampling is bicubic with a filter against aliasing, and so the one that the network was trained
with; OpenCV has none, but averages areas fast.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from imagefleet_worker.decoding.decode import decode
from imagefleet_worker.decoding.picture import DRAFT_GAP, REDUCING_GAP, geometry
from imagefleet_worker.decoding.pixels import Pixels
from imagefleet_worker.recipe import Recipe

RECIPE = Recipe(size=224, resize=256, interpolation="bicubic")
# The pixels that a reduced picture's sides have at least, as the worker's have.
LEAST = round(RECIPE.resize * DRAFT_GAP)
REFERENCE = "Pillow at full size"

Way: TypeAlias = Callable[[bytes], Pixels]


def installed() -> dict[str, Way | None]:
    """Return the ways by name, None for those whose library isn't installed."""
    return {
        "Pillow at reduced size, as the worker": lambda data: decode(data, RECIPE),
        REFERENCE: lambda data: _pillow_shrinks(JpegImageFile(io.BytesIO(data))),
        "simplejpeg, Pillow shrinks": _way("simplejpeg", _simplejpeg, _pillow_shrinks_pixels),
        "simplejpeg, OpenCV shrinks": _way("simplejpeg", _simplejpeg, _opencv_shrinks, "cv2"),
        "OpenCV, Pillow shrinks": _way("cv2", _opencv, _pillow_shrinks_pixels),
        "OpenCV, OpenCV shrinks": _way("cv2", _opencv, _opencv_shrinks, "cv2"),
        "TurboJPEG, Pillow shrinks": _way("turbojpeg", _turbojpeg, _pillow_shrinks_pixels),
    }


def _way(
    library: str,
    decoder: Callable[[Any], Way],
    shrink: Callable[..., Pixels],
    *needed: str,
) -> Way | None:
    try:
        reduced = decoder(import_module(library))
        modules = [import_module(name) for name in needed]
    except (ImportError, OSError, RuntimeError):  # PyTurboJPEG looks for its library when made
        return None
    return lambda data: shrink(reduced(data), *modules)


def _simplejpeg(simplejpeg: Any) -> Way:
    # Of its scales those between 1 and 1/2 are slower than decoding in full.
    return lambda data: simplejpeg.decode_jpeg(
        data, min_height=LEAST, min_width=LEAST, min_factor=2
    )


def _opencv(cv2: Any) -> Way:
    cv2.setNumThreads(1)

    def reduced(data: bytes) -> Pixels:
        factor = _factor(JpegImageFile(io.BytesIO(data)).size)
        scaled = cv2.IMREAD_COLOR if factor == 1 else getattr(cv2, f"IMREAD_REDUCED_COLOR_{factor}")
        flags = scaled | cv2.IMREAD_IGNORE_ORIENTATION
        blue_first = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        pixels: Pixels = cv2.cvtColor(blue_first, cv2.COLOR_BGR2RGB)
        return pixels

    return reduced


def _turbojpeg(turbojpeg: Any) -> Way:
    jpeg = turbojpeg.TurboJPEG()

    def reduced(data: bytes) -> Pixels:
        scale = (1, _factor(jpeg.decode_header(data)[:2]))
        pixels: Pixels = jpeg.decode(data, turbojpeg.TJPF_RGB, scaling_factor=scale)
        return pixels

    return reduced


def _factor(size: tuple[int, int]) -> int:
    """Return what the worker divides a picture's sides by."""
    return max(by for by in (1, 2, 4, 8) if by == 1 or min(size) // by >= LEAST)


def _pillow_shrinks(image: Image.Image) -> Pixels:
    size, square = geometry(image.size, RECIPE)
    small = image.resize(size, Image.Resampling.BICUBIC, square, reducing_gap=REDUCING_GAP)
    return np.array(small.convert("RGB"))


def _pillow_shrinks_pixels(pixels: Pixels) -> Pixels:
    return _pillow_shrinks(Image.fromarray(pixels))


def _opencv_shrinks(pixels: Pixels, cv2: Any) -> Pixels:
    size, square = geometry((pixels.shape[1], pixels.shape[0]), RECIPE)
    left, top, right, bottom = map(round, square)
    small: Pixels = cv2.resize(pixels[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    return small
