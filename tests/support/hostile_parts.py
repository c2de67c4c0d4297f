"""Image files written piece by piece, so that each piece can be a lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence

PNG = b"\x89PNG\r\n\x1a\n"
# Adam7: first column, first row, step to the next column and row of each of the seven passes.
# https://www.w3.org/TR/png-3/#8Interlace
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)

# Types of TIFF's values and how `struct` writes them (TIFF 6.0, page 15).
SHORT, LONG, RATIONAL, ASCII, UNDEFINED = 3, 4, 5, 2, 7


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its length before and its checksum behind it."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(
    width: int, height: int, depth: int = 8, colour: int = 2, interlaced: bool = False
) -> bytes:
    """Return the IHDR chunk; `colour` is 0 for grey, 2 RGB, 3 palette, 4 grey+alpha, 6 RGBA."""
    return png_chunk(
        b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, int(interlaced))
    )


def png(header: bytes, rows: bytes, before: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Return a PNG of a header, compressed rows, and the named chunks that stand before them."""
    others = b"".join(png_chunk(name, body) for name, body in before)
    return PNG + header + others + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def interlaced_png(width: int, height: int, grey: bytes) -> bytes:
    """Return an interlaced PNG of 8-bit greys, given row by row."""
    rows = bytearray()
    for left, top, across, down in _ADAM7:
        for y in range(top, height, down):
            if row := grey[y * width : (y + 1) * width][left::across]:
                rows += b"\0" + row
    header = png_header(width, height, colour=0, interlaced=True)
    return png(header, zlib.compress(bytes(rows)))


def tiff(
    entries: Sequence[tuple[int, int, int, int]], data: bytes = b"", next_directory: int = 0
) -> bytes:
    """Return a little-endian TIFF: header, `data` from byte 8 on, one directory.

    Args:
        entries: tag, type, count and value (or offset) of each.
        next_directory: offset of the directory after this one; 0 for none.
    """
    directory = struct.pack("<H", len(entries))
    for entry in entries:
        directory += struct.pack("<HHII", *entry)
    padding = b"\0" * (len(data) % 2)
    start = 8 + len(data) + len(padding)
    header = struct.pack("<2sHI", b"II", 42, start)
    return header + data + padding + directory + struct.pack("<I", next_directory)


def tiff_entries(
    width: int, height: int, changed: Mapping[int, tuple[int, int, int]] | None = None
) -> list[tuple[int, int, int, int]]:
    """Return what an uncompressed grey picture in one strip from byte 8 on says of itself.

    Args:
        changed: type, count and value of the tags that are to say something else.
    """
    entries = {
        256: (LONG, 1, width),
        257: (LONG, 1, height),
        258: (SHORT, 1, 8),
        259: (SHORT, 1, 1),
        262: (SHORT, 1, 1),
        273: (LONG, 1, 8),
        277: (SHORT, 1, 1),
        278: (LONG, 1, height),
        279: (LONG, 1, width * height),
    }
    entries.update(changed or {})
    return [(tag, *entry) for tag, entry in sorted(entries.items())]


def tiled_tiff(tile: bytes, side: int, across: int, down: int) -> bytes:
    """Return an uncompressed TIFF of grey square tiles, all of which are the same one."""
    tiles = across * down
    offsets = struct.pack(f"<{tiles}I", *[8 + 8 * tiles] * tiles)
    counts = struct.pack(f"<{tiles}I", *[side * side] * tiles)
    entries = {entry[0]: entry for entry in tiff_entries(side * across, side * down)}
    for strips in (273, 278, 279):
        del entries[strips]
    for tag, kind, count, value in (
        (322, LONG, 1, side),
        (323, LONG, 1, side),
        (324, LONG, tiles, 8),
        (325, LONG, tiles, 8 + 4 * tiles),
    ):
        entries[tag] = (tag, kind, count, value)
    return tiff(list(entries.values()), offsets + counts + tile)


def with_app1(jpeg: bytes, body: bytes) -> bytes:
    """Return a JPEG with an APP1 segment, where EXIF lives, put before everything else."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def with_png_chunks(file: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG with more chunks put right after its header."""
    end = len(PNG) + 25
    return file[:end] + b"".join(png_chunk(*chunk) for chunk in chunks) + file[end:]


def with_right_checksums(file: bytes) -> bytes:
    """Return a PNG whose chunks' checksums are right again, as far as its chunks can be followed.

    Without this hardly any damage gets past a reader's first look.
    """
    data, at = bytearray(file), len(PNG)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)
