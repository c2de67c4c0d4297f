"""Formats and sizes, held against Pillow's own reading of whole files."""

from __future__ import annotations

import io
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagefleet_web.problems import Problem
from imagefleet_web.uploads import formats
from imagefleet_web.uploads.limits import Limits
from web_tier import CHELSEA, COFFEE

LIMITS = Limits(max_files=1, max_file_bytes=10**7, max_request_bytes=10**7, max_pixels=10**6)
WRITERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("JPEG", "RGB", {}),
    "JPEG, progressive grey": ("JPEG", "L", {"progressive": True}),
    "JPEG, CMYK": ("JPEG", "CMYK", {}),
    "MPO": ("MPO", "RGB", {}),
    "PNG": ("PNG", "RGBA", {}),
    "PNG, 16 bit": ("PNG", "I;16", {}),
    "WebP, lossy": ("WebP", "RGB", {}),
    "WebP, lossless": ("WebP", "RGB", {"lossless": True}),
    "WebP, extended": ("WebP", "RGBA", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}),
    "GIF": ("GIF", "P", {}),
    "BMP": ("BMP", "RGB", {}),
    "TIFF": ("TIFF", "RGB", {}),
    "TIFF, compressed": ("TIFF", "L", {"compression": "tiff_lzw"}),
    "TIFF, big": ("TIFF", "RGB", {"big_tiff": True}),
}


def picture(kind: str, size: tuple[int, int]) -> bytes:
    writer, mode, options = WRITERS[kind]
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, writer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (37, 5), (640, 480)])
@pytest.mark.parametrize("kind", WRITERS)
def test_the_header_tells_format_and_size(kind: str, size: tuple[int, int]) -> None:
    body = io.BytesIO(picture(kind, size))

    name = formats.recognise(body)

    assert name == {"MPO": "JPEG"}.get(kind, kind.split(",")[0])
    assert formats.dimensions(name, body) == size
    assert formats.content_type(name) == f"image/{name.lower()}"


@pytest.mark.parametrize("content", [CHELSEA, COFFEE])
def test_a_photographs_header_agrees_with_what_it_holds(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        assert formats.dimensions("JPEG", io.BytesIO(content)) == image.size


REFUSALS = {"empty_file", "unsupported_format", "broken_image", "too_many_pixels"}
PICTURES = [picture(kind, (64, 48)) for kind in WRITERS]


@given(
    st.sampled_from(PICTURES),
    st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 2000),
)
def test_no_file_can_do_more_than_be_refused(
    content: bytes, changes: list[tuple[int, bytes]], length: int
) -> None:
    # given a picture whose header is tampered with, and which may end early
    tampered = bytearray(content)
    for at, replacement in changes:
        tampered[at : at + len(replacement)] = replacement
    body = bytes(tampered[:length])

    try:
        outcome = LIMITS.check(len(body), io.BytesIO(body))
    except Problem as problem:
        outcome = problem.kind.code

    assert outcome.startswith("image/") or outcome in REFUSALS


def test_a_bomb_is_refused_without_being_opened() -> None:
    # given a PNG of some bytes that says it has 2.5 billion pixels
    bomb = bytearray(picture("PNG", (1, 1)))
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")

    with pytest.raises(Problem, match="50000 x 50000 pixels"):
        LIMITS.check(len(bomb), io.BytesIO(bytes(bomb)))
