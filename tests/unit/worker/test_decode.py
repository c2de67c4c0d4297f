"""Real pictures in every format and mode, and files that only look like pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

import photographs
from hostile_seeds import encode
from imagefleet_worker.classifiers import Classifier
from imagefleet_worker.decoding.decode import BadImageError, Pixels, decode
from imagefleet_worker.recipe import Recipe

# Pillow warns of much that it then copes with; outside of tests that is no error.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")

RECIPE = Recipe(size=224, resize=256, interpolation="bicubic")
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]


def photograph(name: str = "chelsea") -> Image.Image:
    """Return a photograph with all its pixels."""
    return Image.open(io.BytesIO(photographs.jpeg(name))).convert("RGB")


def plain_square(image: Image.Image) -> Pixels:
    """Return what a network wants, made without any short cut."""
    side = min(image.size) * RECIPE.size / RECIPE.resize
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC, box=box))


def difference(one: Pixels, other: Pixels) -> float:
    """Return how far two pictures are apart, on average over all values of 0 to 255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def refusal(data: bytes, max_pixels: int = 1_000_000) -> BadImageError:
    """Return the error that decoding raises."""
    with pytest.raises(BadImageError) as caught:
        decode(data, RECIPE, max_pixels)
    return caught.value


# Formats and modes


@pytest.mark.parametrize(
    ("file_format", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 2),
        ("JPEG", {"quality": 95, "progressive": True}, 2),
        ("MPO", {"quality": 95, "save_all": True, "append_images": [Image.new("RGB", (9, 9))]}, 2),
        ("PNG", {}, 0.5),
        ("WEBP", {"quality": 95}, 3),
        ("WEBP", {"lossless": True}, 0.5),
        ("GIF", {}, 12),
        ("BMP", {}, 0.5),
        ("TIFF", {}, 0.5),
        ("TIFF", {"compression": "tiff_lzw"}, 0.5),
        ("TIFF", {"compression": "jpeg", "quality": 95}, 3),
    ],
)
def test_a_photograph_looks_the_same_in_every_format(
    file_format: str, options: dict[str, Any], tolerance: float
) -> None:
    data = encode(photograph(), file_format, **options)

    pixels = decode(data, RECIPE)

    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert difference(pixels, plain_square(photograph())) <= tolerance


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("L", "JPEG"),
        ("L", "PNG"),
        ("1", "PNG"),
        ("1", "TIFF"),
        ("P", "PNG"),
        ("P", "BMP"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "TIFF"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("RGBA", "TIFF"),
        ("RGBA", "WEBP"),
    ],
)
def test_every_mode_becomes_rgb(mode: str, file_format: str) -> None:
    stored = photograph().convert(mode)

    pixels = decode(encode(stored, file_format), RECIPE)

    assert difference(pixels, plain_square(stored.convert("RGB"))) < 3


@pytest.mark.parametrize("name", photographs.NAMES)
def test_cmyk_photographs_keep_their_label(name: str, openvino: Classifier) -> None:
    data = encode(photograph(name).convert("CMYK"), "JPEG", quality=95)

    (from_cmyk,), (from_rgb,) = (
        openvino.classify(decode(each, RECIPE)[None]) for each in (data, photographs.jpeg(name))
    )

    assert from_cmyk[0].label == from_rgb[0].label


def grey_16() -> tuple[NDArray[np.uint16], Pixels]:
    """Return a grey photograph of 16 bits and the square it should become."""
    grey = photograph("camera").convert("L")
    return np.asarray(grey).astype(np.uint16) * 257, plain_square(grey)


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    values, expected = grey_16()
    little = Image.fromarray(values)
    big = little.convert("I").convert("I;16B")

    for data in (encode(little, "PNG"), encode(little, "TIFF"), encode(big, "TIFF")):
        assert difference(decode(data, RECIPE), expected) < 1


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_greys_without_a_white_of_their_own_go_from_black_to_white(kind: type) -> None:
    values, _ = grey_16()
    data = encode(Image.fromarray((values / 10).astype(kind) - 1000), "TIFF")

    pixels = decode(data, RECIPE)

    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.corrcoef(pixels.ravel(), plain_square(photograph("camera")).ravel())[0, 1] > 0.99


def test_a_float_picture_with_no_numbers_in_it_is_black() -> None:
    nothing = Image.fromarray(np.full((300, 300), np.nan, np.float32))

    assert decode(encode(nothing, "TIFF"), RECIPE).max() == 0


def test_16_bit_colours_keep_their_upper_byte() -> None:
    row = b"\0" + struct.pack(">3H", 0xFF80, 0x8000, 0x0040) * 300
    data = png(300, 300, depth=16, colour=2, pixels=row * 300)

    assert (decode(data, RECIPE) == (0xFF, 0x80, 0x00)).all()


def half_transparent(mode: str) -> Image.Image:
    """Return a black picture whose right half can't be seen."""
    image = Image.new("LA", (300, 300), (0, 255))
    image.paste((0, 0), (150, 0, 300, 300))
    if mode == "P":
        palette = Image.new("P", (300, 300), 0)
        palette.putpalette([0, 0, 0, 9, 9, 9])
        palette.paste(1, (150, 0, 300, 300))
        palette.info["transparency"] = 1
        return palette
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP"), ("P", "PNG"), ("P", "GIF")],
)
def test_transparency_is_laid_over_white(mode: str, file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}

    pixels = decode(encode(half_transparent(mode), file_format, **options), RECIPE)

    assert (pixels[:, :100] == 0).all()
    assert (pixels[:, 124:] == 255).all()


def test_half_a_transparency_is_half_white() -> None:
    data = encode(Image.new("RGBA", (300, 300), (255, 0, 0, 128)), "PNG")

    assert decode(data, RECIPE)[112, 112].tolist() == [255, 127, 127]


def test_a_grey_that_a_png_calls_transparent_becomes_white() -> None:
    image = Image.new("L", (300, 300), 77)

    assert (decode(encode(image, "PNG", transparency=77), RECIPE) == 255).all()


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken(file_format: str) -> None:
    red, blue = (Image.new("RGB", (300, 300), colour) for colour in ("red", "blue"))
    data = encode(red, file_format, save_all=True, append_images=[blue, blue])

    assert decode(data, RECIPE)[112, 112].tolist() == pytest.approx([255, 0, 0], abs=3)


@pytest.mark.parametrize("size", [(1, 1), (1, 999), (999, 1), (223, 225)])
def test_the_smallest_and_narrowest_pictures_are_pictures(size: tuple[int, int]) -> None:
    data = encode(Image.new("RGB", size, "teal"), "PNG")

    assert (decode(data, RECIPE) == (0, 128, 128)).all()


# Without a crop


def fitted(size: int) -> Recipe:
    """Return a recipe that keeps proportions."""
    return Recipe(size=size, resize=0, interpolation="bicubic", crop=False)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((600, 400), 300, (200, 300)),
        ((400, 600), 300, (300, 200)),
        ((600, 400), 600, (400, 600)),
        ((600, 400), 1000, (400, 600)),
        ((5000, 3), 100, (1, 100)),
        ((1, 1), 100, (1, 1)),
    ],
)
def test_a_picture_keeps_its_proportions_and_is_never_enlarged(
    size: tuple[int, int], longest: int, expected: tuple[int, int]
) -> None:
    for file_format in ("JPEG", "PNG"):
        data = encode(Image.new("RGB", size, "teal"), file_format)

        assert decode(data, fitted(longest)).shape == (*expected, 3)


def test_nothing_is_cut_off() -> None:
    data = encode(photograph(), "JPEG", quality=95)
    whole = photograph().resize((320, 213), Image.Resampling.BICUBIC)

    assert difference(decode(data, fitted(320)), np.asarray(whole)) < 2


def test_a_picture_turned_upright_changes_its_sides() -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = encode(photograph("coffee"), "JPEG", exif=exif)

    assert decode(data, fitted(300)).shape == (300, 200, 3)


# Orientation


def lay(pixels: Pixels, orientation: int) -> Pixels:
    """Return the pixels as a camera held that way stores them (Exif 2.32, tag 274)."""
    sides = (1, 0, 2)
    ways: dict[int, Callable[[], Pixels]] = {
        1: lambda: pixels,
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.transpose(sides),
        6: lambda: np.rot90(pixels),
        7: lambda: pixels[::-1, ::-1].transpose(sides),
        8: lambda: np.rot90(pixels, -1),
    }
    return np.ascontiguousarray(ways[orientation]())


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int, file_format: str) -> None:
    upright = photograph()
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(lay(np.asarray(upright), orientation))

    pixels = decode(encode(stored, file_format, quality=95, exif=exif), RECIPE)

    assert difference(pixels, plain_square(upright)) < 3


def test_an_orientation_that_is_not_one_is_ignored() -> None:
    exif = Image.Exif()
    exif[274] = 4711
    data = encode(photograph(), "PNG", exif=exif)

    assert difference(decode(data, RECIPE), plain_square(photograph())) < 0.5


def test_damaged_exif_does_not_spoil_a_picture() -> None:
    data = encode(photograph(), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")

    assert difference(decode(data, RECIPE), plain_square(photograph())) < 0.5


# Size


@pytest.mark.parametrize("enlarged_to", [None, (2730, 2048), (4000, 3000)])
def test_a_jpeg_decoded_at_reduced_size_gets_the_same_label(
    enlarged_to: tuple[int, int] | None, openvino: Classifier
) -> None:
    files = list(photographs.load().values())
    if enlarged_to:
        files = [
            encode(ImageOps.fit(Image.open(io.BytesIO(file)), enlarged_to), "JPEG", quality=90)
            for file in files
        ]
    reduced = np.stack([decode(file, RECIPE) for file in files])
    full = np.stack([plain_square(Image.open(io.BytesIO(file))) for file in files])

    labels, expected = (
        [best[0].label for best in openvino.classify(images)] for images in (reduced, full)
    )

    assert labels == expected


def test_a_picture_of_just_the_pixels_that_are_allowed_is_taken() -> None:
    data = encode(Image.new("RGB", (100, 100)), "PNG")

    assert decode(data, RECIPE, 10_000).shape == (224, 224, 3)
    assert refusal(data, 9_999).code == "too_many_pixels"
    assert str(refusal(data, 9_999)) == (
        "At most 9,999 pixels are allowed; the picture has 100 x 100."
    )


def png(width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    """Return a PNG file, chunk by chunk."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in chunks)


def bombs() -> dict[str, bytes]:
    """Return small files of each format whose headers announce a huge picture."""
    small = {name: bytearray(encode(Image.new("RGB", (40, 30)), name)) for name in FORMATS}
    frame = small["JPEG"].index(b"\xff\xc0")
    small["JPEG"][frame + 5 : frame + 9] = struct.pack(">2H", 65500, 65500)
    small["PNG"][:] = png(100_000, 100_000)
    small["WEBP"][26:30] = struct.pack("<2H", 16383, 16383)
    small["GIF"][6:10] = struct.pack("<2H", 65535, 65535)
    small["BMP"][18:26] = struct.pack("<2i", 100_000, 100_000)
    tags = {256: 100_000, 257: 100_000, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1}
    entries = [struct.pack("<2H2I", tag, 4, 1, value) for tag, value in tags.items()]
    small["TIFF"][:] = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)
    return {name: bytes(data) for name, data in small.items()}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_decompression_bomb_is_refused(file_format: str) -> None:
    assert refusal(bombs()[file_format]).code == "too_many_pixels"


# What is no picture


def test_no_bytes_are_an_empty_file() -> None:
    error = refusal(b"")

    assert (error.code, str(error)) == ("empty_file", "The file is empty.")


@pytest.mark.parametrize(
    "data",
    [b"\0" * 4096, b"Dear sir or madam,", b"\xff\xd8", b"PK\x03\x04" + b"\0" * 100, b"\x7fELF"],
)
def test_other_files_are_not_images(data: bytes) -> None:
    assert refusal(data).code == "not_an_image"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"%PDF-1.7\n", "PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_pictures_of_other_formats_are_called_by_their_name(data: bytes, name: str) -> None:
    error = refusal(data)

    assert error.code == "unsupported_format"
    assert str(error) == (
        f"{name} files are not supported; send JPEG, PNG, WebP, GIF, BMP or TIFF."
    )


def test_colours_that_cannot_be_converted_are_not_supported() -> None:
    data = encode(Image.new("LAB", (300, 300)), "TIFF")

    assert refusal(data).code == "unsupported_format"


@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        *[(each, {}) for each in FORMATS],
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_file_cut_short_is_truncated(
    file_format: str, options: dict[str, Any], tenths: int
) -> None:
    data = encode(photograph(), file_format, **options)

    error = refusal(data[: len(data) * tenths // 10])

    assert error.code == "truncated"
    assert "ends too early" in str(error)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("kept", [10, 20, 30])
def test_a_file_cut_in_its_header_is_truncated(file_format: str, kept: int) -> None:
    data = encode(photograph(), file_format)

    if file_format == "WEBP" or kept > 10:  # else too little for the format to be known
        assert refusal(data[: max(kept, 12)]).code == "truncated"


def test_a_damaged_png_is_corrupt() -> None:
    data = bytearray(encode(photograph(), "PNG"))
    middle = len(data) // 2
    data[middle : middle + 1000] = bytes(1000)

    error = refusal(bytes(data))

    assert (error.code, str(error)) == ("corrupt", "The PNG file is damaged.")


def test_a_file_with_the_beginning_of_another_format_is_corrupt() -> None:
    jpeg, png_file = photographs.jpeg("coffee"), encode(photograph(), "PNG")

    assert refusal(png_file[:8] + jpeg + png_file[-12:]).code == "corrupt"
    assert refusal(jpeg[:3] + png_file + jpeg[-2:]).code == "corrupt"


def test_what_follows_a_picture_does_not_matter() -> None:
    data = photographs.jpeg("coffee") + b"PK\x03\x04" + b"<script>alert(1)</script>" * 50

    assert (decode(data, RECIPE) == decode(photographs.jpeg("coffee"), RECIPE)).all()


def test_decoding_leaves_pillow_as_it_was() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    decode(photographs.jpeg("coffee"), RECIPE)
    refusal(photographs.jpeg("coffee")[:9999])

    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


# Whatever comes


def small_files() -> list[bytes]:
    """Return small real pictures in many formats and modes, to be damaged."""
    image = photograph().resize((48, 40))
    frames = {"save_all": True, "append_images": [image.rotate(90), image]}
    exif = Image.Exif()
    exif[274] = 6
    return [
        *[encode(image, each) for each in FORMATS],
        *[encode(image, each, **frames) for each in ("GIF", "WEBP", "PNG", "TIFF", "MPO")],
        *[encode(image, each, exif=exif) for each in ("JPEG", "PNG", "WEBP", "TIFF")],
        *[encode(image, "TIFF", compression=each) for each in ("tiff_lzw", "jpeg", "packbits")],
        *[encode(image.convert(each), "PNG") for each in ("1", "L", "LA", "P", "RGBA", "I;16")],
        *[encode(image.convert(each), "TIFF") for each in ("CMYK", "F", "I", "LAB")],
        encode(image, "JPEG", progressive=True),
        encode(image.convert("CMYK"), "JPEG"),
    ]


def decode_or_refuse(data: bytes) -> None:
    """Decode anything; the only error may be the one that says why not."""
    with suppress(BadImageError):
        assert decode(data, RECIPE, 1_000_000).shape == (224, 224, 3)


BEGINNINGS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]


@settings(max_examples=300)
@given(beginning=st.sampled_from([b"", *BEGINNINGS]), rest=st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_or_decoded(beginning: bytes, rest: bytes) -> None:
    decode_or_refuse(beginning + rest)


@settings(max_examples=600)
@given(
    file=st.sampled_from(small_files()),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=6
    ),
    kept=st.floats(0.5, 1),
)
def test_damaged_pictures_are_refused_or_decoded(
    file: bytes, changes: list[tuple[float, bytes]], kept: float
) -> None:
    data = bytearray(file)
    for place, change in changes:
        # Headers, where damage does most, get half of the changes.
        start = int(place**4 * len(data))
        data[start : start + len(change)] = change

    decode_or_refuse(bytes(data[: int(kept * len(data))]))
