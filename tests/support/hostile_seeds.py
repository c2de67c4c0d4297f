"""Small real pictures in every accepted format and its odd modes: what fuzzing starts from."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, features

import hostile_parts as parts

_PHOTOGRAPH = Path(__file__).parents[2] / "samples/chelsea.jpg"
_SIDES = (48, 40)
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_TIFF_MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F")
_COMPRESSIONS = (
    "tiff_lzw",
    "tiff_adobe_deflate",
    "packbits",
    "jpeg",
    "lzma",
    "zstd",
    "tiff_ccitt",
    "group3",
    "group4",
)
_BILEVEL = {"tiff_ccitt", "group3", "group4"}


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return an image file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def photograph(sides: tuple[int, int] = _SIDES) -> Image.Image:
    """Return a cat."""
    with Image.open(_PHOTOGRAPH) as image:
        return image.convert("RGB").resize(sides)


def seeds() -> dict[str, bytes]:
    """Return the files, by what is odd about them."""
    image = photograph()
    grey = image.convert("L")
    fading = image.convert("RGBA")
    fading.putalpha(grey)
    frames = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    found = {
        "jpeg": encode(image, "JPEG", quality=60),
        "jpeg-progressive": encode(image, "JPEG", quality=60, progressive=True),
        "jpeg-444": encode(image, "JPEG", quality=60, subsampling=0),
        "jpeg-restarts": encode(image, "JPEG", quality=60, restart_marker_rows=1),
        "jpeg-grey": encode(grey, "JPEG", quality=60),
        "jpeg-cmyk": encode(image.convert("CMYK"), "JPEG", quality=60),
        "jpeg-rgb": encode(image, "JPEG", quality=60, keep_rgb=True),
        "jpeg-dpi-icc": encode(image, "JPEG", quality=60, dpi=(72, 72), icc_profile=b"icc" * 40),
        "mpo": encode(image, "MPO", quality=60, **frames),
        "png-interlaced": parts.interlaced_png(*_SIDES, grey.tobytes()),
        "png-16-bit-rgb": parts.png(
            parts.png_header(4, 4, depth=16), zlib.compress(bytes(range(25)) * 4)
        ),
        "apng": encode(image, "PNG", **frames),
        "webp": encode(image, "WEBP", quality=50),
        "webp-lossless": encode(image, "WEBP", lossless=True),
        "webp-alpha": encode(fading, "WEBP", quality=50),
        "webp-animated": encode(image, "WEBP", quality=50, **frames),
        "gif": encode(image.quantize(16), "GIF"),
        "gif-interlaced": encode(image.quantize(16), "GIF", interlace=1),
        "gif-transparent": encode(image.quantize(16), "GIF", transparency=3),
        "gif-animated": encode(image.quantize(16), "GIF", **frames),
        "tiff-pages": encode(grey, "TIFF", save_all=True, append_images=[grey, grey]),
        "tiff-tiled": parts.tiled_tiff(grey.resize((16, 16)).tobytes(), 16, 3, 2),
        "tiff-big": encode(grey, "TIFF", big_tiff=True),
        "tiff-planar": encode(image, "TIFF", compression="tiff_lzw", tiffinfo={284: 1, 317: 2}),
    }
    for mode in _PNG_MODES:
        found[f"png-{mode}"] = encode(image.convert(mode), "PNG")
    for mode in _TIFF_MODES:
        found[f"tiff-{mode}"] = encode(_converted(image, mode), "TIFF")
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        found[f"bmp-{mode}"] = encode(image.convert(mode), "BMP")
    for name in _COMPRESSIONS if features.check("libtiff") else ():
        stored = image.convert("1") if name in _BILEVEL else image
        found[f"tiff-{name}"] = encode(stored, "TIFF", compression=name)
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[274] = orientation
        for file_format in ("JPEG", "PNG", "WEBP", "TIFF"):
            found[f"{file_format.lower()}-turned-{orientation}"] = encode(
                image.resize((16, 12)), file_format, exif=exif
            )
    return found


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image.convert("I").convert(mode) if mode.startswith("I;16") else image.convert(mode)
