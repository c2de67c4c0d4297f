"""Beginnings of files, as the tiers tell them apart."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from imagefleet_core import formats


def picture(file_format: str, size: tuple[int, int] = (37, 5), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(options.pop("mode", "RGB"), size).save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("name", formats.NAMES)
def test_a_format_is_told_from_how_its_files_begin(name: str) -> None:
    assert formats.recognise(picture(name)[: formats.HEADER_BYTES]) == name


@pytest.mark.parametrize("header", [b"", b"\xff\xd8", b"RIFF....WAVE", b"PK\x03\x04", b"  BM"])
def test_other_files_have_no_name(header: bytes) -> None:
    assert formats.recognise(header) is None


@pytest.mark.parametrize("size", [(1, 1), (37, 5), (16383, 1)])
@pytest.mark.parametrize(
    "options",
    [{}, {"lossless": True}, {"mode": "RGBA"}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}],
    ids=["lossy", "lossless", "transparent", "extended"],
)
def test_a_webp_tells_its_size_in_its_header(
    size: tuple[int, int], options: dict[str, Any]
) -> None:
    assert formats.webp_dimensions(picture("WebP", size, **options)) == size


@pytest.mark.parametrize("length", [0, 12, 20, 24])
def test_a_webp_cut_in_its_header_tells_no_size(length: int) -> None:
    with pytest.raises(ValueError, match="no size"):
        formats.webp_dimensions(picture("WebP")[:length])
