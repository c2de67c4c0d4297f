"""GIFs, WebPs and BMPs that lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

from hostile_case import PICTURE, Hostile, hostile
from hostile_seeds import encode, photograph

_LOOP = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
# One pixel: smallest code of 2 bits, one block of 2 bytes (clear, 0, end).
_PIXEL = b"\x02\x02\x44\x01\0"


def files() -> Iterator[tuple[str, Hostile]]:
    """Yield hostile files by name."""
    for part in (gifs, webps, bmps):
        yield from part()


def gif(width: int, height: int, blocks: bytes, palette: bool = True) -> bytes:
    """Return a GIF of a screen and what is shown on it, with a palette of two colours."""
    flags = 0x80 if palette else 0
    screen = struct.pack("<2H3B", width, height, flags, 0, 0)
    return b"GIF89a" + screen + b"\0\0\0\xff\xff\xff" * palette + blocks + b";"


def frame(left: int, top: int, width: int, height: int, pixels: bytes = _PIXEL) -> bytes:
    """Return one picture on the screen."""
    return b"," + struct.pack("<4HB", left, top, width, height, 0) + pixels


def wiped(side: int) -> bytes:
    """Return a GIF of a square frame that is to be replaced by the background afterwards."""
    return gif(1, 1, b"!\xf9\x04\x08\0\0\0\0" + frame(0, 0, side, side))


def lzw(pixels: int) -> bytes:
    """Return that many pixels of colour 0 in an LZW stream that never grows its codes' table."""
    # 3 bits a code: clear (4), 0, 0 over and over keeps codes at 3 bits.
    codes = [4, 0, 0] * -(-pixels // 2) + [5]
    bits = 0
    for place, code in enumerate(codes):
        bits |= code << 3 * place
    data = bits.to_bytes(len(codes) * 3 // 8 + 1, "little")
    blocks = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"\x02" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gifs() -> Iterator[tuple[str, Hostile]]:
    """Yield GIFs."""
    one = frame(0, 0, 1, 1)
    for sides in ((65_535, 65_535), (19_000, 19_000)):
        told = "gif {} x {}".format(*sides)
        yield told, hostile(gif(*sides, frame(0, 0, *sides)), "too_many_pixels")
        yield (
            f"{told} on a small screen",
            hostile(gif(1, 1, frame(0, 0, *sides)), "too_many_pixels"),
        )
        yield f"{told} screen of one pixel", hostile(gif(*sides, one), "too_many_pixels")
    # Pillow makes room for the background before it tells how large the frame is.
    for side in (7000, 13_000):
        answers = ("too_many_pixels", "too_much_memory", "truncated")
        yield f"gif {side} x {side} to be wiped", hostile(wiped(side), *answers)
    yield "gif 7000 x 7000 of a few bytes", hostile(gif(7000, 7000, frame(0, 0, 7000, 7000)))
    yield "gif 7000 x 7000 screen of one pixel", hostile(gif(7000, 7000, one), PICTURE)
    yield "gif frame far outside", hostile(gif(9, 9, frame(60_000, 60_000, 9, 9)))
    yield "gif frame of nothing", hostile(gif(9, 9, frame(0, 0, 0, 0)))
    yield "gif screen of nothing", hostile(gif(0, 0, frame(0, 0, 1, 1)))
    yield "gif without frames", hostile(gif(9, 9, b""), "corrupt", "truncated")
    yield "gif without a palette", hostile(gif(1, 1, one, palette=False), PICTURE)
    for size in (0, 1, 12, 255):
        yield (
            f"gif codes of {size} bits",
            hostile(gif(9, 9, frame(0, 0, 9, 9, bytes([size]) + lzw(81)[1:]))),
        )
    yield (
        "gif codes never defined",
        hostile(gif(9, 9, frame(0, 0, 9, 9, b"\x02\x04\xff\xff\xff\xff\0"))),
    )
    yield "gif 10000 frames", hostile(gif(1, 1, _LOOP + one * 10_000), PICTURE)
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 2000 + b"\0"
    yield "gif comment of 500 KB", hostile(gif(1, 1, comment + one), PICTURE)
    yield "gif 100000 extensions", hostile(gif(1, 1, b"!\x42\1x\0" * 100_000 + one), PICTURE)
    yield "gif 300 KB of unknown bytes", hostile(gif(1, 1, b"\1" * 300_000 + one))
    yield "gif 65000 x 1", hostile(encode(Image.new("P", (65_000, 1)), "GIF"), PICTURE)
    yield "gif 1 x 65000", hostile(encode(Image.new("P", (1, 65_000)), "GIF"), PICTURE)


def riff(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    """Return a WebP of named chunks."""
    body = b"WEBP"
    for name, data in chunks:
        body += name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """Return the chunk that announces a canvas."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def webps() -> Iterator[tuple[str, Hostile]]:
    """Yield WebPs."""
    image = photograph((64, 48))
    lossy = encode(image, "WEBP")
    lossless = encode(image, "WEBP", lossless=True)
    picture, animated = lossy[20:], 2
    for sides in ((16_384, 16_384), (1 << 24, 1 << 24), (1 << 24, 200), (19_000, 19_000)):
        told = "webp canvas {} x {}".format(*sides)
        yield told, hostile(riff(canvas(*sides), (b"VP8 ", picture)), "too_many_pixels", "corrupt")
        moving = riff(canvas(*sides, animated), (b"ANIM", bytes(6)), anmf(picture))
        yield f"{told}, animated", hostile(moving, "too_many_pixels", "corrupt", "truncated")
    for sides in ((16_383, 16_383), (7000, 7000), (1, 1)):
        told = "{} x {}".format(*sides)
        data = bytearray(lossy)
        data[26:30] = struct.pack("<2H", *sides)
        yield f"webp announces {told}", hostile(bytes(data))
        data = bytearray(lossless)
        data[21:25] = struct.pack("<I", (sides[0] - 1) | (sides[1] - 1) << 14)
        yield f"webp lossless announces {told}", hostile(bytes(data))
    first = riff(canvas(64, 48, animated), (b"ANIM", bytes(6)), *[anmf(picture)] * 5000)
    yield "webp 5000 frames", hostile(first, PICTURE)
    for size in (0, 4, 2**31, 2**32 - 10, 2**32 - 1):
        yield f"webp of {size} bytes", hostile(lossy[:4] + struct.pack("<I", size) + lossy[8:])
    yield "webp of nothing", hostile(riff(), "truncated", "corrupt")
    yield "webp of an unknown chunk", hostile(riff((b"ABCD", bytes(99))), "truncated", "corrupt")
    yield (
        "webp 100000 unknown chunks",
        hostile(riff(canvas(64, 48), *[(b"ABCD", b"")] * 100_000, (b"VP8 ", picture))),
    )
    yield "webp 1 MB behind it", hostile(lossy + bytes(1 << 20), PICTURE)
    exif = (b"EXIF", b"II*\0\xff\xff\xff\xff")
    yield "webp broken exif", hostile(riff(canvas(64, 48, 8), (b"VP8 ", picture), exif), PICTURE)
    profile = (b"ICCP", b"\xff" * 99)
    yield (
        "webp colour profile of 0xff",
        hostile(riff(canvas(64, 48, 32), profile, (b"VP8 ", picture)), PICTURE),
    )
    yield "webp 16383 x 1", hostile(encode(Image.new("RGB", (16_383, 1)), "WEBP"), PICTURE)
    yield "webp 1 x 16383", hostile(encode(Image.new("RGB", (1, 16_383)), "WEBP"), PICTURE)


def anmf(picture: bytes) -> tuple[bytes, bytes]:
    """Return the chunk of one frame of 64 x 48 pixels."""
    place = bytes(6) + (63).to_bytes(3, "little") + (47).to_bytes(3, "little") + b"\x0a\0\0\0"
    return b"ANMF", place + b"VP8 " + struct.pack("<I", len(picture)) + picture


def bmp(
    width: int, height: int, rows: bytes, bits: int = 24, packing: int = 0, colours: int = 0
) -> bytes:
    """Return a BMP of one header of 40 bytes and what follows."""
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, packing, len(rows), 0, 0, colours, 0
    )
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + header + rows


def bmps() -> Iterator[tuple[str, Hostile]]:
    """Yield BMPs."""
    big = 2**31 - 1
    for sides in ((19_000, 19_000), (65_535, 65_535), (big, big), (big, 1), (1, -big)):
        yield (
            "bmp {} x {}".format(*sides),
            hostile(bmp(*sides, bytes(99)), "too_many_pixels"),
        )
    for sides in ((0, 0), (0, 9), (9, 0), (-9, 9), (9, -(2**31))):
        yield "bmp {} x {}".format(*sides), hostile(bmp(*sides, bytes(999)))
    yield "bmp 9 x -9", hostile(bmp(9, -9, bytes(9 * 28)), PICTURE)
    for bits in (0, 2, 16, 32, 33, 65_535):
        yield f"bmp of {bits} bits", hostile(bmp(9, 9, bytes(999), bits))
    for packing in (1, 2, 3, 4, 5, 6, 99):
        yield f"bmp packed as {packing}", hostile(bmp(9, 9, bytes(999), 8, packing))
        yield (
            f"bmp 7000 x 7000 packed as {packing}",
            hostile(bmp(7000, 7000, bytes(999), 8, packing, 1)),
        )
    yield "bmp 2**32 - 1 colours", hostile(bmp(9, 9, bytes(999), 8, 0, 2**32 - 1))
    # 255 pixels of colour 0; a jump of 255 x 255; a copy of 255 pixels that aren't there.
    for name, run in (("runs", b"\xff\0"), ("jumps", b"\0\2\xff\xff"), ("copies", b"\0\xff")):
        rows = bytes(4) + run * 2000
        yield f"bmp {name} beyond the end", hostile(bmp(9, 9, rows, 8, 1, 1))
    good = encode(photograph((64, 48)), "BMP")
    for place, name in ((10, "rows"), (14, "header size"), (2, "file size")):
        for value in (0, 1, 2**31, 2**32 - 1):
            data = good[:place] + struct.pack("<I", value) + good[place + 4 :]
            yield f"bmp {name} {value}", hostile(data)
    yield "bmp 65000 x 1", hostile(encode(Image.new("L", (65_000, 1)), "BMP"), PICTURE)
    yield "bmp 1 x 65000", hostile(encode(Image.new("L", (1, 65_000)), "BMP"), PICTURE)
