"""JPEGs that lie, and the EXIF of no camera."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from PIL import Image

import hostile_parts as parts
from hostile_case import PICTURE, Hostile, hostile
from hostile_seeds import encode, photograph

_SOF = {False: b"\xff\xc0", True: b"\xff\xc2"}
_ORIENTATION, _EXIF_DIRECTORY = 274, 34665


def files() -> Iterator[tuple[str, Hostile]]:
    """Yield hostile JPEGs by name."""
    good = encode(photograph((64, 48)), "JPEG")
    for name, data in headers(good):
        yield f"jpeg {name}", data
    for name, body in exifs():
        yield f"jpeg exif {name}", hostile(parts.with_app1(good, b"Exif\0\0" + body), PICTURE)
    for name, data in segments(good):
        yield f"jpeg {name}", data
    for name, data in colours():
        yield f"jpeg {name}", data
    yield "jpeg 7000 x 7000 progressive in four colours", hostile(scans(7000, 7000, 1, 4), PICTURE)
    yield "jpeg 500 scans", hostile(scans(1000, 1000, 500), PICTURE)


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    """Return a JPEG that announces another size than it has."""
    data = bytearray(jpeg)
    frame = max(data.find(marker) for marker in _SOF.values())
    data[frame + 5 : frame + 9] = struct.pack(">2H", height, width)
    return bytes(data)


def scans(width: int, height: int, count: int, colours: int = 1) -> bytes:
    """Return a progressive JPEG of one colour that goes over all its pixels again and again.

    Each scan is a few bytes: runs of blocks of which nothing is to be refined. See "Two Issues with
    the JPEG Standard and What They Mean for Software Using It", section 1, of libjpeg-turbo.
    """
    blocks = -(-width // 8) * -(-height // 8)
    components = range(1, colours + 1)
    frame = struct.pack(">BHHB", 8, height, width, colours)
    frame += b"".join(bytes([component, 0x11, 0]) for component in components)
    start = b"\xff\xd8" + _segment(b"\xff\xdb", b"\0" + b"\1" * 64) + _segment(b"\xff\xc2", frame)
    # One code each, the bit 0: of DC for "no change", of AC for "2**14 and more blocks are done".
    for kind, symbol in ((0x00, 0x00), (0x10, 0xE0)):
        start += _segment(b"\xff\xc4", bytes([kind, 1, *[0] * 15, symbol]))
    first = _scan(components, 0, 0, b"\0" * (blocks * colours // 8 + 1))
    bits = ("0" + "1" * 14) * -(-blocks // 32767)
    bits += "1" * (-len(bits) % 8)
    runs = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return start + first + _scan([1], 1, 63, runs) * count + b"\xff\xd9"


def headers(good: bytes) -> Iterator[tuple[str, Hostile]]:
    """Yield files whose frame header lies."""
    progressive = encode(photograph((64, 48)), "JPEG", progressive=True)
    frame = good.index(_SOF[False])
    for name, file in (("", good), (" progressive", progressive)):
        for sides in ((65535, 65535), (19000, 19000), (65500, 800)):
            told = "{} x {}".format(*sides)
            yield f"{told}{name}", hostile(resized(file, *sides), "too_many_pixels")
    for sides in ((0, 48), (64, 0), (0, 0)):
        yield "{} x {}".format(*sides), hostile(resized(good, *sides), "corrupt")
    for name, place, value in (
        ("of 12 bits", 4, 12),
        ("of 255 components", 9, 255),
        ("of 0 components", 9, 0),
        ("with sampling of 15 x 15", 11, 0xFF),
        ("with sampling of 0 x 0", 11, 0),
        ("with a table that is not there", 12, 9),
    ):
        data = bytearray(good)
        data[frame + place] = value
        yield name, hostile(bytes(data), "corrupt", "truncated")
    for name, marker in (("lossless", 0xC3), ("arithmetic", 0xC9), ("hierarchical", 0xC5)):
        data = bytearray(good)
        data[frame + 1] = marker
        yield name, hostile(bytes(data))
    header_end = frame + 2 + int.from_bytes(good[frame + 2 : frame + 4], "big")
    twice = good[:header_end] + good[frame:header_end] + good[header_end:]
    yield "with two headers", hostile(twice, "corrupt")
    yield "without tables", hostile(good[:2] + good[frame:])
    yield "of a header only", hostile(good[:header_end] + b"\xff\xd9", "corrupt", "truncated")
    yield "without a header", hostile(good[:frame] + good[header_end:], "corrupt", "truncated")


def exifs() -> Iterator[tuple[str, bytes]]:
    """Yield EXIF that no camera writes; none of it turns a picture."""
    for value in (0, 9, 9999, 65535):
        yield f"orientation {value}", exif([(_ORIENTATION, parts.SHORT, 1, value)])
    for name, kind, count, value in (
        ("of text", parts.ASCII, 4, 0x00363636),
        ("that is a fraction", parts.RATIONAL, 1, 0),
        ("of a thousand numbers", parts.SHORT, 1000, 8),
        ("of 2**32 - 1 numbers", parts.LONG, 0xFFFFFFFF, 0xFFFFFFF0),
        ("of no type", 99, 1, 6),
        ("of no numbers", parts.SHORT, 0, 6),
    ):
        yield f"orientation {name}", exif([(_ORIENTATION, kind, count, value)])
    yield "next directory is itself", exif([], next_directory=8)
    yield "directory in itself", exif([(_EXIF_DIRECTORY, parts.LONG, 1, 8)])
    yield "directory far outside", exif([(_EXIF_DIRECTORY, parts.LONG, 1, 0xFFFFFFFF)])
    yield "first directory far outside", b"II*\0\xff\xff\xff\xff"
    yield "65535 entries", b"II*\0\x08\0\0\0\xff\xff" + b"\0" * 60_000
    yield "of 0xff", b"\xff" * 65_000
    yield "of nothing", b""
    yield "with half a header", b"MM\0"


def exif(entries: list[tuple[int, int, int, int]], next_directory: int = 0) -> bytes:
    """Return EXIF: a TIFF without a picture."""
    return parts.tiff(entries, next_directory=next_directory)


def segments(good: bytes) -> Iterator[tuple[str, Hostile]]:
    """Yield files with odd segments around a good picture."""
    comment = _segment(b"\xff\xfe", b"<?php system($_GET[0]); ?>")
    yield "10000 comments", hostile(good[:2] + comment * 10_000 + good[2:], PICTURE)
    yield "1 MB of 0xff", hostile(good[:2] + b"\xff" * 1_000_000 + good[2:], PICTURE)
    yield "1 MB of restarts", hostile(good[:-2] + b"\xff\xd0" * 500_000 + good[-2:])
    yield "segment beyond the end", hostile(good[:2] + b"\xff\xe1\xff\xff" + good[2:])
    yield "segment of length 0", hostile(good[:2] + b"\xff\xe1\0\0" + good[2:])
    icc = b"ICC_PROFILE\0"
    for name, body in (
        ("5 of 3", icc + b"\5\3" + b"x" * 99),
        ("0 of 0", icc + b"\0\0"),
        ("of 0xff", icc + b"\1\1" + b"\xff" * 500),
    ):
        segment = _segment(b"\xff\xe2", body)
        yield f"colour profile {name}", hostile(good[:2] + segment + good[2:], PICTURE)
    cut = hostile(good[:2] + _segment(b"\xff\xe2", icc + b"\1") + good[2:], PICTURE, "corrupt")
    yield "colour profile cut short", cut
    for name, body in (
        ("MPO index of nothing", b"MPF\0II*\0\x08\0\0\0\0\0"),
        ("MPO index of 0xff", b"MPF\0" + b"\xff" * 99),
    ):
        segment = _segment(b"\xff\xe2", body)
        yield name, hostile(good[:2] + segment + good[2:], PICTURE)
    photoshop = b"Photoshop 3.0\x008BIM\x03\xed\0\0\xff\xff\xff\xff"
    yield (
        "photoshop block beyond the end",
        hostile(good[:2] + _segment(b"\xff\xed", photoshop) + good[2:], PICTURE),
    )
    yield "1 MB behind it", hostile(good + b"\xff\xd8\xff\xe0" * 250_000, PICTURE)


def colours() -> Iterator[tuple[str, Hostile]]:
    """Yield files of four inks, which Adobe's programs store inverted."""
    inks = encode(photograph((64, 48)).convert("CMYK"), "JPEG")
    adobe = inks.index(b"Adobe")
    yield "CMYK", hostile(inks, PICTURE)
    for transform in (1, 2, 99):
        data = bytearray(inks)
        data[adobe + 11] = transform
        yield f"CMYK with transform {transform}", hostile(bytes(data), PICTURE)
    yield "CMYK not inverted", hostile(inks.replace(b"Adobe", b"Adopt"), PICTURE)
    yield "1 x 65000", hostile(encode(Image.new("L", (1, 65_000)), "JPEG"), PICTURE)
    yield "65000 x 1", hostile(encode(Image.new("L", (65_000, 1)), "JPEG"), PICTURE)


def _segment(marker: bytes, body: bytes) -> bytes:
    return marker + struct.pack(">H", len(body) + 2) + body


def _scan(components: Sequence[int], first: int, last: int, data: bytes) -> bytes:
    """Return a scan of some coefficients of some components."""
    head = bytes([len(components), *[each for one in components for each in (one, 0)]])
    return _segment(b"\xff\xda", head + bytes([first, last, 0])) + data
