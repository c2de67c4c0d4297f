"""Images made to do harm: what anybody may upload, and what the right answer to each is."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator
from functools import cache

import hostile_jpeg
import hostile_others
import hostile_parts as parts
import hostile_png
import hostile_tiff
from hostile_case import PICTURE, Hostile, hostile
from hostile_seeds import encode, photograph

__all__ = ["PICTURE", "Hostile", "corpus"]

_SIDES = (96, 80)
_PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"


@cache
def corpus() -> dict[str, Hostile]:
    """Return the files by what is wrong with them, always the same ones."""
    found: dict[str, Hostile] = {}
    for part in (
        _truncated,
        _no_pictures,
        _polyglots,
        hostile_jpeg.files,
        hostile_png.files,
        hostile_tiff.files,
        hostile_others.files,
    ):
        for name, file in part():
            assert name not in found, name
            found[name] = file
    return found


def _truncated() -> Iterator[tuple[str, Hostile]]:
    """Yield every format cut at every tenth."""
    image = photograph(_SIDES)
    frames = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    whole = {
        "jpeg": encode(image, "JPEG"),
        "jpeg progressive": encode(image, "JPEG", progressive=True),
        "png": encode(image, "PNG"),
        "png interlaced": parts.interlaced_png(*_SIDES, image.convert("L").tobytes()),
        "webp": encode(image, "WEBP"),
        "webp lossless": encode(image, "WEBP", lossless=True),
        "webp animated": encode(image, "WEBP", **frames),
        "gif": encode(image, "GIF"),
        "bmp": encode(image, "BMP"),
        "tiff": encode(image, "TIFF"),
        "tiff lzw": encode(image, "TIFF", compression="tiff_lzw"),
    }
    several = {
        "gif animated": encode(image, "GIF", **frames),
        "apng": encode(image, "PNG", **frames),
    }
    for tenths in range(1, 10):
        for name, data in whole.items():
            cut = data[: len(data) * tenths // 10]
            yield f"{name} cut at {tenths}/10", hostile(cut, "truncated")
        for name, data in several.items():  # their first frame may well be whole
            cut = data[: len(data) * tenths // 10]
            yield f"{name} cut at {tenths}/10", hostile(cut, "truncated", PICTURE)


def _no_pictures() -> Iterator[tuple[str, Hostile]]:
    """Yield what isn't an image at all."""
    yield "no bytes", hostile(b"", "empty_file")
    for byte in (0x00, 0x42, 0x47, 0x49, 0x4D, 0x52, 0x89, 0xFF):
        yield f"the byte {byte:#04x}", hostile(bytes([byte]), "not_an_image")
    for name, data in (
        ("only 0xff", b"\xff" * 4096),
        ("only zeros", bytes(4096)),
        ("noise", random.Random(1).randbytes(4096)),
        ("a WAV", b"RIFF\x24\0\0\0WAVEfmt " + bytes(32)),
        ("an archive", _archive()),
        ("a program", b"\x7fELF\x02\x01\x01" + bytes(100)),
        ("a page", b"<!DOCTYPE html><html><img src=x onerror=alert(1)></html>"),
    ):
        if name == "only 0xff":
            yield name, hostile(data, "corrupt", "truncated", "not_an_image")
        else:
            yield name, hostile(data, "not_an_image")
    for name, beginning in (
        ("jpeg", b"\xff\xd8\xff\xe0"),
        ("png", parts.PNG),
        ("gif", b"GIF89a"),
        ("bmp", b"BM"),
        ("tiff", b"II*\0"),
        ("webp", b"RIFF\xff\xff\xff\xffWEBP"),
    ):
        for then, rest in (
            ("nothing", b""),
            ("zeros", bytes(999)),
            ("0xff", b"\xff" * 999),
            ("a page", b"<html><script>alert(1)</script></html>" * 9),
        ):
            yield f"{name} header and {then}", hostile(beginning + rest, "corrupt", "truncated")
    yield "a letter that begins with BM", hostile(b"BMW builds cars.\n" * 9, "corrupt", "truncated")


def _polyglots() -> Iterator[tuple[str, Hostile]]:
    """Yield files that are a whole picture and something else as well."""
    image = photograph(_SIDES)
    jpeg, png = encode(image, "JPEG"), encode(image, "PNG")
    yield "jpeg and archive", hostile(jpeg + _archive(), PICTURE)
    yield "jpeg in jpeg", hostile(parts.with_app1(jpeg, jpeg), PICTURE)
    yield (
        "jpeg with a page in it",
        hostile(parts.with_app1(jpeg, b"<script>alert(1)</script>" * 99), PICTURE),
    )
    yield (
        "png and document",
        hostile(parts.with_png_chunks(png, (b"tEXt", b"Comment\0" + _PDF)) + _PDF, PICTURE),
    )
    yield "png and jpeg", hostile(png + jpeg, PICTURE)
    script = b"=1;alert(1);/*"
    gif = hostile_others.gif(0x2F2A, 1, hostile_others.frame(0, 0, 1, 1))
    yield "gif and script", hostile(gif + b"*/" + script, PICTURE)
    yield "bmp and script", hostile(encode(image, "BMP") + b"*/" + script, PICTURE)
    yield "document and png", hostile(_PDF + png, "unsupported_format")
    yield "page and png", hostile(b"<html>" + png, "not_an_image")
    yield "archive and jpeg", hostile(_archive() + jpeg, "not_an_image")


def _archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("run.js"), "alert(1)")
    return file.getvalue()
