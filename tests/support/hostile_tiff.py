"""TIFFs that lie: a format of offsets, each of which may point anywhere."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import hostile_parts as parts
from hostile_case import PICTURE, Hostile, hostile
from hostile_png import zeros
from hostile_seeds import encode, photograph

_Changed = dict[int, tuple[int, int, int]]

_SHORT, _LONG = parts.SHORT, parts.LONG
_FAR = 0xFFFFFFFF
_DEFLATE, _LZW, _JPEG, _PACKBITS, _FAX, _LZMA, _ZSTD = 8, 5, 7, 32773, 4, 34925, 50000
_GREY = bytes(range(256)) * 16


def files() -> Iterator[tuple[str, Hostile]]:
    """Yield hostile TIFFs by name."""
    for part in (bombs, strips, tags, directories):
        for name, data in part():
            yield f"tiff {name}", data


def grey(
    width: int = 64, height: int = 64, data: bytes = _GREY, changed: _Changed | None = None
) -> bytes:
    """Return a grey picture, some of whose tags are changed as `tiff_entries` says."""
    return parts.tiff(parts.tiff_entries(width, height, changed), data)


def packed(width: int, height: int, data: bytes, how: int) -> bytes:
    """Return a grey picture in one compressed strip."""
    changed = {259: (_SHORT, 1, how), 279: (_LONG, 1, len(data))}
    return grey(width, height, data, changed)


def bombs() -> Iterator[tuple[str, Hostile]]:
    """Yield small files of very large pictures."""
    for side in (19_000, 65_535, 2**31 - 1, 2**32 - 1):
        yield (
            f"{side} x {side}",
            hostile(grey(side, side, changed={279: (_LONG, 1, 4096)}), "too_many_pixels"),
        )
    deflated = zeros(49_000_000)
    yield (
        "19000 x 19000 deflated",
        hostile(packed(19_000, 19_000, deflated, _DEFLATE), "too_many_pixels"),
    )
    yield "7000 x 7000 deflated", hostile(packed(7000, 7000, deflated, _DEFLATE), PICTURE)
    for name, how in (
        ("LZW", _LZW),
        ("JPEG", _JPEG),
        ("packbits", _PACKBITS),
        ("fax", _FAX),
        ("LZMA", _LZMA),
        ("ZSTD", _ZSTD),
        ("old JPEG", 6),
        ("LERC", 34887),
        ("nothing known", 9999),
    ):
        data = packed(7000, 7000, b"\x80\x10" + bytes(64), how)
        yield f"7000 x 7000 of a few bytes as {name}", hostile(data)
    tile = bytes(256 * 256)
    yield (
        "6912 x 6912 of one tile again and again",
        hostile(parts.tiled_tiff(tile, 256, 27, 27), PICTURE),
    )
    yield "65000 x 1", hostile(grey(65_000, 1, bytes(65_000)), PICTURE)
    yield "1 x 65000", hostile(grey(1, 65_000, bytes(65_000)), PICTURE)
    yield "5000 pages", hostile(pages(5000), PICTURE)
    yield (
        "samples of 49 million numbers a pixel",
        hostile(grey(changed={277: (_SHORT, 1, 65_535)}), "corrupt", "truncated"),
    )


def pages(count: int) -> bytes:
    """Return a file of many pages, all of which show the same."""
    entries = parts.tiff_entries(64, 64)
    size = 2 + 12 * len(entries) + 4
    body = b""
    for number in range(count):
        following = 8 + 4096 + size * (number + 1) if number + 1 < count else 0
        directory = struct.pack("<H", len(entries))
        directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
        body += directory + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8 + 4096) + _GREY + body


def strips() -> Iterator[tuple[str, Hostile]]:
    """Yield files whose strips or tiles are not where, or what, they are said to be."""
    for name, changed in (
        ("2**32 - 1 strips", {273: (_LONG, _FAR, 8)}),
        ("strip far outside", {273: (_LONG, 1, _FAR)}),
        ("strip on its own directory", {273: (_LONG, 1, 0)}),
        ("strip of 2**32 - 1 bytes", {279: (_LONG, 1, _FAR)}),
        ("strip of no bytes", {279: (_LONG, 1, 0)}),
        ("strips of no rows", {278: (_LONG, 1, 0)}),
        ("strips of 2**32 - 1 rows", {278: (_LONG, 1, _FAR)}),
        ("strips of one row", {278: (_LONG, 1, 1)}),
        ("strip given as text", {273: (parts.ASCII, 4, 0x31323334)}),
        ("strip given as fractions", {273: (parts.RATIONAL, 1, 8)}),
    ):
        yield name, hostile(grey(changed=changed))
        compressed = zlib.compress(_GREY)
        fixed = {259: (_SHORT, 1, _DEFLATE), 279: (_LONG, 1, len(compressed))}
        yield f"{name}, deflated", hostile(grey(64, 64, compressed, fixed | changed))
    for side in (0, 1, 17, 2**16, 2**31, _FAR):
        tiled = bytearray(parts.tiled_tiff(bytes(256), 16, 3, 2))
        for tag in (322, 323):
            at = tiled.index(struct.pack("<HHI", tag, _LONG, 1))
            tiled[at + 8 : at + 12] = struct.pack("<I", side)
        yield f"tiles of {side} x {side}", hostile(bytes(tiled))
        at = tiled.index(struct.pack("<HH", 259, _SHORT))
        tiled[at + 8] = _LZW
        yield f"tiles of {side} x {side}, LZW", hostile(bytes(tiled))


def tags() -> Iterator[tuple[str, Hostile]]:
    """Yield files whose tags make no sense."""
    for name, changed in (
        ("no width", {256: (_LONG, 1, 0)}),
        ("no height", {257: (_LONG, 1, 0)}),
        ("width of many numbers", {256: (_SHORT, 1000, 8)}),
        ("width as text", {256: (parts.ASCII, 4, 0x00343635)}),
        ("255 bits", {258: (_SHORT, 1, 255)}),
        ("0 bits", {258: (_SHORT, 1, 0)}),
        ("12 bits", {258: (_SHORT, 1, 12)}),
        ("bits of 2**31 channels", {258: (_SHORT, 2**31, 8)}),
        ("photometric 9999", {262: (_SHORT, 1, 9999)}),
        ("a palette that is missing", {262: (_SHORT, 1, 3)}),
        ("a palette of 3", {262: (_SHORT, 1, 3), 320: (_SHORT, 3, 8)}),
        ("YCbCr of one channel", {262: (_SHORT, 1, 6)}),
        ("5 samples a pixel", {277: (_SHORT, 1, 5)}),
        ("200 extra samples", {338: (_SHORT, 200, 8)}),
        ("samples that are no numbers", {339: (_SHORT, 1, 77)}),
        ("planes apart", {284: (_SHORT, 1, 2)}),
        ("fill order 7", {266: (_SHORT, 1, 7)}),
        ("predictor 9999", {317: (_SHORT, 1, 9999)}),
        ("resolution of 0 / 0", {282: (parts.RATIONAL, 1, 8)}),
        ("colour profile far outside", {34675: (parts.UNDEFINED, _FAR, _FAR)}),
        ("a tag of 2**32 - 1 texts", {270: (parts.ASCII, _FAR, 8)}),
        ("a tag of no type", {270: (77, 9, 8)}),
        ("orientation 9999", {274: (_SHORT, 1, 9999)}),
    ):
        yield name, hostile(grey(changed=changed))


def directories() -> Iterator[tuple[str, Hostile]]:
    """Yield files whose directories loop or are not there."""
    good = parts.tiff_entries(64, 64)
    start = 8 + len(_GREY)
    yield "next directory is itself", hostile(parts.tiff(good, _GREY, start), PICTURE)
    yield "next directory far outside", hostile(parts.tiff(good, _GREY, _FAR), PICTURE)
    for tag in (330, 34665, 34853, 40965):
        looped = parts.tiff([*good, (tag, _LONG, 1, start)], _GREY)
        yield f"directory {tag} is the first", hostile(looped, PICTURE)
    yield "directory in the header", hostile(b"II*\0\0\0\0\0" + bytes(64))
    yield "directory far outside", hostile(b"II*\0\xff\xff\xff\xff", "truncated", "corrupt")
    yield "directory of 65535 entries", hostile(b"II*\0\x08\0\0\0\xff\xff", "truncated", "corrupt")
    many = b"".join(struct.pack("<HHII", 40_000, _SHORT, 1, 0) for _ in range(65_535))
    yield "directory of 65535 tags", hostile(b"II*\0\x08\0\0\0\xff\xff" + many + bytes(4))
    yield "directory of nothing", hostile(b"II*\0\x08\0\0\0\0\0\0\0\0\0")
    big = bytearray(encode(photograph((64, 48)), "TIFF", big_tiff=True))
    for name, place in (("offset", 8), ("size", 4)):
        data = bytearray(big)
        data[place : place + 8] = b"\xff" * 8
        yield f"big with a wild {name}", hostile(bytes(data))
    directory = int.from_bytes(big[8:16], "little")
    data = bytearray(big)
    data[directory : directory + 8] = b"\xff" * 7 + b"\x7f"
    yield "big of 2**63 entries", hostile(bytes(data))
    data = bytearray(big)
    data[directory + 12 : directory + 20] = b"\xff" * 7 + b"\x7f"
    yield "big with 2**63 widths", hostile(bytes(data))
