"""From the bytes of an image file to the square of pixels that a network takes.

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
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagefleet_worker.formats import BadImageError, ends_early, identify
from imagefleet_worker.recipe import Recipe

__all__ = ["DEFAULT_MAX_PIXELS", "BadImageError", "Pixels", "decode"]

Pixels: TypeAlias = NDArray[np.uint8]

# Enough for the 50-megapixel cameras of telephones. A JPEG of them takes 4 MB of memory to decode,
# the costliest file, a WebP with transparency, 770 MB.
DEFAULT_MAX_PIXELS = 50_000_000

# Called one by one and not through `Image.open`, whose limit on pixels is the whole process's.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}

# A JPEG is decoded at the smallest of its scales (1, 1/2, 1/4, 1/8) that leaves this many pixels
# a side for each one kept: what Pillow's own thumbnails do. With 1, answers begin to change.
_DRAFT_GAP = 2

# From here on shrinking in two steps is "almost indistinguishable from fair resampling".
# https://pillow.readthedocs.io/en/stable/reference/Image.html#PIL.Image.Image.resize
_REDUCING_GAP = 3.0

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


def decode(data: bytes, recipe: Recipe, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """Return the picture in `data` as uint8 RGB of shape (size, size, 3).

    A JPEG is decoded at reduced size, orientation is honoured, transparency is laid over white,
    and of several frames or pages the first is taken.

    Args:
        max_pixels: a header that announces more is refused before anything is decoded.

    Raises:
        BadImageError: for any bytes that aren't a whole picture in an accepted format.
    """
    format_name = identify(data)
    try:
        with _READERS[format_name](io.BytesIO(data)) as image:
            _check_size(image.size, max_pixels)
            return _square(image, recipe)
    except BadImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels("more", max_pixels) from error
    except Exception as error:
        # Parsers fed bytes that were made to mislead them raise whatever they like.
        if "truncated" in str(error) or ends_early(format_name, data):
            raise BadImageError("truncated", f"The {format_name} file ends too early.") from error
        raise BadImageError("corrupt", f"The {format_name} file is damaged.") from error


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _too_many_pixels(f"{width} x {height}", max_pixels)


def _too_many_pixels(found: str, max_pixels: int) -> BadImageError:
    return BadImageError(
        "too_many_pixels", f"At most {max_pixels:,} pixels are allowed; the picture has {found}."
    )


def _square(image: Image.Image, recipe: Recipe) -> Pixels:
    """Decode, crop, resize and turn upright."""
    image.draft("", (recipe.resize * _DRAFT_GAP, recipe.resize * _DRAFT_GAP))
    image.load()
    side = min(image.size) * recipe.size / recipe.resize
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = _blendable(image).resize(
        (recipe.size, recipe.size),
        _FILTERS[recipe.interpolation],
        box=(left, top, left + side, top + side),
        reducing_gap=_REDUCING_GAP,
    )
    upright = _UPRIGHT.get(_orientation(image))
    if upright is not None:
        square = square.transpose(upright)
    return np.array(_rgb(square))


def _blendable(image: Image.Image) -> Image.Image:
    """Return the picture in a mode whose neighbouring pixels can be averaged."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data and image.mode != "RGBA":
        return image.convert("RGBA")
    if image.mode in ("1", "P"):
        return image.convert("RGB")
    if image.mode not in _BLENDABLE:
        raise BadImageError("unsupported_format", f"{image.mode} colours are not supported.")
    return image


def _rgb(square: Image.Image) -> Image.Image:
    if square.mode == "RGBA":
        white = Image.new("RGBA", square.size, "white")
        return Image.alpha_composite(white, square).convert("RGB")
    if square.mode in ("I", "F"):
        return _stretch(square).convert("RGB")
    return square.convert("RGB")


def _stretch(square: Image.Image) -> Image.Image:
    """Return greys that go from black to white: wide numbers have no white of their own."""
    values = np.nan_to_num(np.asarray(square, np.float64), posinf=0, neginf=0)
    values -= values.min()
    return Image.fromarray((values * (255 / (values.max() or 1))).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001
        return 1  # a camera's broken notes are no reason to refuse its picture
