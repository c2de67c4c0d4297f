"""How much memory a picture takes while it is decoded, told from its header.

Bytes a pixel at the peak, measured with Pillow 13.0 as resident and as virtual memory (they agree
within 0.1) between a photograph of 3 and one of 12 megapixels:

    JPEG                                    0.0  it's decoded at reduced size: 1 to 4 MB in all
    JPEG, progressive: L, 4:2:0, 4:4:4, CMYK    2.0, 3.0, 6.0, 8.0  all coefficients, 2 bytes each
    PNG, GIF, BMP, TIFF: L                  1.1
      RGB, CMYK, YCbCr, I, F                4.3  also with 16 bits a colour, or interlaced
      1, P                                  5.3  as stored, and as RGB
      I;16                                  6.3  as stored, and as I
      RGBA                                  8.3  as stored, and premultiplied
      P or L with a transparent colour      9.3
      LA; RGB with a transparent colour    12.3
    TIFF, compressed, all in one strip: RGB 7.0, F 8.0  the picture, and the strip
    TIFF, lying on its side: RGB            8.0  the picture twice
    WebP                                   16.1  two canvases, a copy of one, and the picture
      with transparency                    17.2  and the file once more

All of them are read from a file that lies in memory already, which is not counted.
"""

from __future__ import annotations

from typing import TypeAlias

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

Size: TypeAlias = tuple[int, int]

# What a JPEG of any size takes, beside its pixels: rows of coefficients, and the finished square.
_ANY_PICTURE = 2_000_000
# A WebP's two canvases, a copy of one, and the picture.
_WEBP = 16

# Bytes that Pillow stores a pixel in; those of all other modes take four.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# Shrinking in two steps leaves at most a quarter of the pixels after the first, four bytes each,
# and a third of those in the middle of the second, which goes row by row and then by columns.
_SHRINKING = 1.4
# What a finished pixel takes while transparency is laid over white.
_FINISHED = 20


def webp_footprint(size: Size, data: bytes, small: Size, rows: float) -> int:
    """Return the bytes of memory that it takes to open, decode and shrink a WebP file."""
    pixels = size[0] * size[1]
    return _ANY_PICTURE + len(data) + _WEBP * pixels + _shrinking(pixels, small, rows)


def footprint(
    image: Image.Image,
    data: bytes,
    full_size: Size,
    small: Size,
    rows: float,
) -> int:
    """Return the bytes of memory that decoding and shrinking takes, `data` not counted.

    Args:
        image: opened and not yet loaded; a JPEG with the reduced size that it will have.
        full_size: the size before that.
        small: the size that it is shrunk to.
        rows: how many of its rows that needs.
    """
    pixels = image.width * image.height
    loading = _stored(image) * pixels
    if isinstance(image, TiffImageFile):
        loading += int(_tiff_extra(image) * pixels)
    elif isinstance(image, JpegImageFile):
        loading += _coefficients(image, data, full_size)
    converted = (_stored(image) + _converted(image)) * pixels
    return _ANY_PICTURE + max(loading, converted + _shrinking(pixels, small, rows))


def _shrinking(pixels: int, small: Size, rows: float) -> int:
    # What is shrunk by little is so in one step: in its middle, only the columns are fewer.
    halfway = max(_SHRINKING * pixels, 4 * small[0] * rows)
    return int(halfway + _FINISHED * small[0] * small[1])


def _stored(image: Image.Image) -> int:
    return _STORED.get(image.mode, 4)


def _converted(image: Image.Image) -> int:
    """Return the bytes a pixel of the copies in other modes that averaging pixels takes."""
    if image.mode.startswith("I;16"):
        return 4  # as I
    if image.mode == "RGBA":
        return 4  # premultiplied
    if image.has_transparency_data:
        return 8  # as RGBA, and that premultiplied
    return 4 if image.mode in ("1", "P") else 0


def _tiff_extra(image: TiffImageFile) -> float:
    """Return the bytes a pixel that a TIFF takes beside the picture: a strip, or it turned."""
    strip, turned = 0.0, 0
    if image.tile and image.tile[0].codec_name == "libtiff":
        bits = image.tag_v2.get(258, (1,))
        strip = sum(bits) / 8
    if image.tag_v2.get(ExifTags.Base.Orientation, 1) != 1:
        turned = _stored(image)
    return max(strip, turned)


def _coefficients(image: JpegImageFile, data: bytes, full_size: Size) -> int:
    """Return the bytes of all coefficients, which are kept if they come in several scans."""
    # The header of a scan (ITU T.81, B.2.3), just read: its length, and how many components it has.
    components = len(image.layer)
    length = 6 + 2 * components
    all_in_one = length.to_bytes(2, "big") + bytes([components])
    scan = image.fp.tell() - length if image.fp else 0
    if not image.info.get("progressive") and data.startswith(all_in_one, scan):
        return 0
    across = max(layer[1] for layer in image.layer)
    down = max(layer[2] for layer in image.layer)
    share = sum(layer[1] * layer[2] for layer in image.layer) / (across * down)
    return int(2 * share * full_size[0] * full_size[1])
