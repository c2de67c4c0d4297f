"""What a worker and its children say to each other.

Frames go over a socket: five bytes that tell the kind and the length of a body, and the body. A
decoder finds its limits in its arguments.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from imagefleet_worker.recipe import INTERPOLATIONS, Recipe

# From either: it can be used; why there is no answer.
READY, BAD = b"R", b"B"
# To a decoder: an image file; the memory may be used.
FILE, GRANT = b"F", b"G"
# From a decoder: a picture; it needs so much memory.
PICTURE, NEED = b"P", b"N"
# To a runner, and from it: pictures; what became of each.
BATCH, OUTCOMES = b"W", b"O"

NUMBER = struct.Struct("!Q")
# Height and width, which stand before the colours.
SHAPE = struct.Struct("!II")
HEADER = struct.Struct("!cI")
# Size, resize, interpolation and crop of a recipe, which stand before an image file.
RECIPE = struct.Struct("!IIB?")

# A picture and most files fit in as a whole, so that neither side waits for the other to read.
_BUFFER_BYTES = 256 * 1024


class Closed(Exception):
    """The other side is gone."""


class Limits(NamedTuple):
    """What a decoder is told when it starts.

    Attributes:
        max_pixels: of one image, in its header.
        limit_s: seconds that decoding one may take.
        base_bytes: memory that each picture may take without asking.
        most_bytes: memory that a picture may take at all.
    """

    max_pixels: int
    limit_s: float
    base_bytes: int
    most_bytes: int

    def arguments(self) -> list[str]:
        """Return the limits as arguments of a command."""
        return [str(each) for each in self]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Limits:
        """Return the limits that `arguments` made these of."""
        max_pixels, limit_s, base, most = arguments
        return cls(int(max_pixels), float(limit_s), int(base), int(most))


def pack_recipe(recipe: Recipe) -> bytes:
    """Return what stands before an image file."""
    interpolation = INTERPOLATIONS.index(recipe.interpolation)
    return RECIPE.pack(recipe.size, recipe.resize, interpolation, recipe.crop)


def unpack_recipe(data: bytes) -> Recipe:
    """Return the recipe that `pack_recipe` made this of."""
    size, resize, interpolation, crop = RECIPE.unpack(data)
    return Recipe(size, resize, INTERPOLATIONS[interpolation], crop)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a line."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    return ends


def send(line: socket.socket, kind: bytes, *parts: bytes) -> None:
    """Send a frame whose body is `parts`; raises `Closed`, or TimeoutError if the socket does."""
    frame = (HEADER.pack(kind, sum(map(len, parts))), *parts)
    try:
        sent = line.sendmsg(frame)
        for part in frame:
            skipped = min(sent, len(part))
            sent -= skipped
            if skipped < len(part):
                line.sendall(memoryview(part)[skipped:])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


def receive_header(line: socket.socket) -> tuple[bytes, int]:
    """Return a frame's kind and the length of its body; raises as `send`."""
    kind, length = HEADER.unpack(receive(line, HEADER.size))
    return kind, length


def receive(line: socket.socket, length: int) -> bytes:
    """Return so many bytes; raises as `send`."""
    parts, left = [], length
    try:
        while left:
            part = line.recv(left, socket.MSG_WAITALL)
            if not part:
                raise Closed
            parts.append(part)
            left -= len(part)
    except ConnectionResetError as error:
        raise Closed from error
    return b"".join(parts)  # one part alone is not copied


def receive_into(line: socket.socket, buffer: memoryview) -> None:
    """Fill `buffer`, which is of bytes; raises as `send`."""
    filled = 0
    try:
        while filled < len(buffer):
            got = line.recv_into(buffer[filled:])
            if not got:
                raise Closed
            filled += got
    except ConnectionResetError as error:
        raise Closed from error
