"""PNGs that lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import hostile_parts as parts
from hostile_case import PICTURE, Hostile, hostile
from hostile_seeds import encode, photograph

_MIB = 1 << 20


def files() -> Iterator[tuple[str, Hostile]]:
    """Yield hostile PNGs by name."""
    good = encode(photograph((64, 48)), "PNG")
    for part in (bombs, headers):
        for name, data in part():
            yield f"png {name}", data
    for name, data in chunks(good):
        yield f"png {name}", data
    yield "apng 5000 frames", hostile(animated(5000), PICTURE)


def zeros(count: int) -> bytes:
    """Return a compressed stream of zeros, made without holding them all."""
    packer, block = zlib.compressobj(9), bytes(_MIB)
    packed = b"".join(packer.compress(block) for _ in range(count // _MIB))
    return packed + packer.compress(block[: count % _MIB]) + packer.flush()


def black(width: int, height: int, depth: int, colour: int) -> bytes:
    """Return a whole black picture."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * channels * depth + 7) // 8
    palette = [(b"PLTE", b"\0\0\0")] if colour == 3 else []
    return parts.png(
        parts.png_header(width, height, depth, colour), zeros(row * height), before=palette
    )


def bombs() -> Iterator[tuple[str, Hostile]]:
    """Yield small files of very large pictures."""
    yield "19000 x 19000 of 1 bit", hostile(black(19_000, 19_000, 1, 0), "too_many_pixels")
    for width, height in ((2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (1, 2**31 - 1), (50_001, 1000)):
        data = parts.png(parts.png_header(width, height), zlib.compress(b"\0"))
        yield f"{width} x {height}", hostile(data, "too_many_pixels")
    yield "7000 x 7000 of 1 bit", hostile(black(7000, 7000, 1, 0), PICTURE)
    yield (
        "7000 x 7000 of 16-bit colours",
        hostile(
            parts.png(parts.png_header(7000, 7000, 16, 6), zeros(7000 * 99)),
            "truncated",
            "corrupt",
            "too_much_memory",
        ),
    )
    yield "65000 x 1", hostile(black(65_000, 1, 8, 2), PICTURE)
    yield "1 x 65000", hostile(black(1, 65_000, 8, 2), PICTURE)
    yield "1 x 49 million", hostile(black(1, 49_000_000, 1, 0), "too_many_pixels")
    yield "49 million x 1", hostile(black(49_000_000, 1, 1, 0), "too_many_pixels")
    data = parts.png(parts.png_header(64, 48), zeros(64 * _MIB))
    yield "64 MB of rows for a small picture", hostile(data)


def headers() -> Iterator[tuple[str, Hostile]]:
    """Yield files whose header makes no sense."""
    for width, height in ((0, 0), (0, 9), (9, 0), (2**32 - 1, 2**32 - 1), (2**31, 1)):
        data = parts.png(parts.png_header(width, height), zlib.compress(bytes(99)))
        yield f"{width} x {height}", hostile(data, "corrupt", "too_many_pixels")
    for depth, colour in ((3, 0), (16, 3), (1, 2), (8, 5), (0, 0), (255, 255)):
        data = parts.png(parts.png_header(9, 9, depth, colour), zlib.compress(bytes(999)))
        yield f"of {depth} bits in colour type {colour}", hostile(data, "corrupt")
    no_palette = parts.png(parts.png_header(9, 9, 8, 3), zlib.compress(bytes(90)))
    yield "palette missing", hostile(no_palette)
    header = parts.png_header(9, 9, 8, 3)
    for name, body in (("of 7 bytes", bytes(7)), ("of 1000 colours", bytes(3000)), ("empty", b"")):
        data = parts.png(header, zlib.compress(bytes(90)), before=[(b"PLTE", body)])
        yield f"palette {name}", hostile(data)
    short = parts.PNG + parts.png_chunk(b"IHDR", b"\0\0\0\1") + parts.png_chunk(b"IEND", b"")
    yield "header of 4 bytes", hostile(short, "corrupt", "truncated")
    yield "header only", hostile(parts.PNG + header, "corrupt", "truncated")
    no_rows = parts.PNG + header + parts.png_chunk(b"IEND", b"")
    yield "without rows", hostile(no_rows, "corrupt", "truncated")


def chunks(good: bytes) -> Iterator[tuple[str, Hostile]]:
    """Yield files with odd chunks before a good picture."""
    packed = zeros(64 * _MIB)
    for name, chunk in (
        ("text of 64 MB", (b"zTXt", b"Comment\0\0" + packed)),
        ("unicode text of 64 MB", (b"iTXt", b"Comment\0\1\0\0\0" + packed)),
        ("colour profile of 64 MB", (b"iCCP", b"profile\0\0" + packed)),
        ("text packed in an unknown way", (b"zTXt", b"Comment\0\7" + b"x" * 99)),
        ("text without an end to its name", (b"zTXt", b"x" * 99)),
        ("unicode text cut short", (b"iTXt", b"Comment\0\1")),
        ("colour profile of 0xff", (b"iCCP", b"profile\0\0" + b"\xff" * 99)),
        ("colour profile cut short", (b"iCCP", b"p")),
        ("transparency of 0 bytes", (b"tRNS", b"")),
        ("transparency of 300 bytes", (b"tRNS", bytes(300))),
        ("gamma of 1 byte", (b"gAMA", b"\1")),
        ("resolution of 1 byte", (b"pHYs", b"\1")),
        ("primaries of 3 bytes", (b"cHRM", b"\1\2\3")),
        ("exif of 0xff", (b"eXIf", b"\xff" * 99)),
        ("exif as text", (b"tEXt", b"Raw profile type exif\0\nexif\n      9999\nzzzz")),
        ("animation of 0 frames", (b"acTL", bytes(8))),
        ("animation of 2**32 - 1 frames", (b"acTL", b"\xff" * 8)),
        ("a second header", (b"IHDR", struct.pack(">2I5B", 9999, 9999, 8, 2, 0, 0, 0))),
        ("rows in two places", (b"IDAT", b"\0")),
    ):
        yield name, hostile(parts.with_png_chunks(good, chunk))
    texts = [(b"tEXt", b"k\0v")] * 20_000
    yield "20000 texts", hostile(parts.with_png_chunks(good, *texts), PICTURE)
    million = [(b"zTXt", b"k\0\0" + zeros(_MIB - 1))] * 100
    yield "100 texts of 1 MB each", hostile(parts.with_png_chunks(good, *million))
    length = parts.png_chunk(b"tEXt", b"")
    for size in (2**31 - 1, 2**31, 2**32 - 1):
        lying = struct.pack(">I", size) + length[4:]
        place = len(parts.PNG) + 25
        yield f"chunk of {size} bytes", hostile(good[:place] + lying + good[place:])
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 1
    yield "one bit is wrong", hostile(bytes(damaged), "corrupt")
    yield "1 MB behind it", hostile(good + b"\0" * _MIB, PICTURE)


def animated(frames: int) -> bytes:
    """Return an animation of many tiny frames."""
    header = parts.png_header(8, 8, 8, 0)
    rows = zlib.compress(bytes(72))
    number = 0

    def control() -> bytes:
        nonlocal number
        body = struct.pack(">5I2H2B", number, 8, 8, 0, 0, 1, 100, 0, 0)
        number += 1
        return parts.png_chunk(b"fcTL", body)

    pieces = [parts.png_chunk(b"acTL", struct.pack(">2I", frames, 0)), control()]
    pieces.append(parts.png_chunk(b"IDAT", rows))
    for _ in range(frames - 1):
        pieces.append(control())
        pieces.append(parts.png_chunk(b"fdAT", struct.pack(">I", number) + rows))
        number += 1
    return parts.PNG + header + b"".join(pieces) + parts.png_chunk(b"IEND", b"")
