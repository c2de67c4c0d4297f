"""From the bytes of an image file to the colours that a network takes, with Pillow alone.

Decoders import this in processes of their own, which have to start fast and stay small: so it
knows no numpy.

The crop is the one that EfficientNet-Lite was evaluated with: the central square of
`size / resize` (224 / 256, a "crop padding" of 32) of the shorter side, resized bicubically;
`_decode_and_center_crop` in
https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/preprocessing.py.
It differs from it in two ways: the square's corners are not rounded to whole pixels, and
shrinking filters (Pillow's resampling does) where TensorFlow skips pixels, as this is also what
torchvision does with its networks.
"""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Callable
from typing import TypeAlias

from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagefleet_core.formats import webp_dimensions
from imagefleet_worker.decoding.footprint import footprint, webp_footprint
from imagefleet_worker.decoding.formats import BadImageError, ends_early, identify
from imagefleet_worker.recipe import Picture, Recipe

# Called one by one and not through `Image.open`, whose limit on pixels is the whole process's.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}

# What a JPEG's side can be at most. Each row costs time and memory, however short it is: without a
# bound, 95 KB of PNG with rows of one pixel take 9 s and 1 GB.
MAX_SIDE = 65_535

# A JPEG is decoded at the smallest of its scales (1, 1/2, 1/4, 1/8) that leaves this many pixels
# a side for each one kept. Pillow's own thumbnails ask for 2, which takes a quarter longer for a
# large photograph and changes no label; with 1, labels begin to change (docs/evaluation.md).
DRAFT_GAP = 1.25

# From here on shrinking in two steps is "almost indistinguishable from fair resampling".
# https://pillow.readthedocs.io/en/stable/reference/Image.html#PIL.Image.Image.resize
REDUCING_GAP = 3.0

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_BLENDABLE = {"L", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I", "F"}

# How to turn a picture upright, by EXIF orientation (Exif 2.32, 4.6.4, tag 274).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Left, top, right and bottom, in pixels.
Box: TypeAlias = tuple[float, float, float, float]


def read(
    data: bytes,
    recipe: Recipe,
    max_pixels: int,
    admit: Callable[[int], None] = lambda _needed: None,
) -> Picture:
    """Return the picture in `data` as the recipe wants it.

    A JPEG is decoded at reduced size, orientation is honoured, transparency is laid over white,
    and of several frames or pages the first is taken.

    Args:
        max_pixels: a header that announces more is refused before anything is decoded.
        admit: called with the bytes of memory that decoding takes, before they are taken; may
            block or raise.

    Raises:
        BadImageError: for any bytes that aren't a whole picture in an accepted format.
        MemoryError: there is not enough of it.
    """
    format_name = identify(data)
    try:
        if format_name == "WebP":  # its reader makes room for all pixels at once
            size = webp_dimensions(data)
            _check_size(size, max_pixels)
            small, box = geometry(size, recipe)
            admit(webp_footprint(size, data, small, box[3] - box[1]))
        with _READERS[format_name](io.BytesIO(data)) as image:
            full_size = image.size
            _check_size(full_size, max_pixels)
            _draft(image, recipe)
            small, box = geometry(image.size, recipe)
            if format_name != "WebP":
                admit(footprint(image, data, full_size, small, box[3] - box[1]))
            image.load()
            shrunk = _blendable(image).resize(
                small, _FILTERS[recipe.interpolation], box, reducing_gap=REDUCING_GAP
            )
            wide = image.mode.startswith("I;16")
            return _finished(_rgb(shrunk, wide=wide), _orientation(image))
    except (BadImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels("more", max_pixels) from error
    except Exception as error:
        # Parsers fed bytes that were made to mislead them raise whatever they like.
        if "out of memory" in str(error):
            raise MemoryError from error
        if "truncated" in str(error) or ends_early(format_name, data):
            raise BadImageError("truncated", f"The {format_name} file ends too early.") from error
        raise BadImageError("corrupt", f"The {format_name} file is damaged.") from error


def geometry(size: tuple[int, int], recipe: Recipe) -> tuple[tuple[int, int], Box]:
    """Return the pixels that a picture of `size` gets, and the part of it that becomes these."""
    width, height = size
    if recipe.crop:
        side = min(size) * recipe.size / recipe.resize
        left, top = (width - side) / 2, (height - side) / 2
        return (recipe.size, recipe.size), (left, top, left + side, top + side)
    scale = min(1.0, recipe.size / max(size))
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    return fitted, (0.0, 0.0, width, height)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _too_many_pixels(f"{width} x {height}", max_pixels)
    if max(size) > MAX_SIDE:
        raise BadImageError(
            "too_many_pixels",
            f"At most {MAX_SIDE:,} pixels a side are allowed; the picture has {width} x {height}.",
        )


def _too_many_pixels(found: str, max_pixels: int) -> BadImageError:
    return BadImageError(
        "too_many_pixels", f"At most {max_pixels:,} pixels are allowed; the picture has {found}."
    )


def _draft(image: Image.Image, recipe: Recipe) -> None:
    """Let a JPEG be decoded at reduced size."""
    if recipe.crop:
        width = height = recipe.resize
    else:
        (width, height), _ = geometry(image.size, recipe)
    image.draft("", (round(width * DRAFT_GAP), round(height * DRAFT_GAP)))


def _finished(small: Image.Image, orientation: int) -> Picture:
    """Turn the picture upright."""
    upright = _UPRIGHT.get(orientation)
    if upright is not None:
        small = small.transpose(upright)
    return Picture(small.height, small.width, small.tobytes())


def _blendable(image: Image.Image) -> Image.Image:
    """Return the picture in a mode whose neighbouring pixels can be averaged."""
    if image.mode.startswith("I;16"):
        return image.convert("I")
    if image.has_transparency_data and image.mode != "RGBA":
        return image.convert("RGBA")
    if image.mode in ("1", "P"):
        return image.convert("RGB")
    if image.mode not in _BLENDABLE:
        raise BadImageError("unsupported_format", f"{image.mode} colours are not supported.")
    return image


def _rgb(image: Image.Image, *, wide: bool) -> Image.Image:
    """Return the picture's colours; `wide` greys are those of 0 to 65535."""
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    if wide:
        return image.point(lambda grey: grey / 257 + 0.5).convert("RGB")
    if image.mode in ("I", "F"):
        return _stretched(image).convert("RGB")
    return image.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Return greys that go from black to white: wide numbers have no white of their own."""
    stored = array("i" if image.mode == "I" else "f", image.tobytes())
    values = [value if math.isfinite(value) else 0 for value in stored]
    black = min(values)
    scale = 255 / ((max(values) - black) or 1)
    return Image.frombytes("L", image.size, bytes(int((each - black) * scale) for each in values))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001
        return 1  # a camera's broken notes are no reason to refuse its picture
