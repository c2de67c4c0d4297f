"""A decoder: a process that turns image files into pixels, and that may die of any of them.

It reads files from the socket that is its standard input and answers each. It ends when the other
end is closed, so it outlives its worker by no more than one picture, which has a time limit.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from contextlib import suppress

from PIL import Image

from imagefleet_worker.children import protocol
from imagefleet_worker.children.protocol import Closed, Limits
from imagefleet_worker.decoding import picture
from imagefleet_worker.decoding.formats import BadImageError
from imagefleet_worker.recipe import Recipe

# The worker ends a picture that takes too long. If it is gone itself, the system does, a bit later.
GRACE_S = 1.0
# What the allocator may keep of earlier pictures, and the leeway of the estimates.
SLACK_BYTES = 16_000_000
# Its standard error, the only file that it writes to, goes no further.
MOST_WRITTEN_BYTES = 64 * 1024

MB = 1_000_000


def main() -> None:
    """Answer the worker until it hangs up."""
    limits = Limits.parse(sys.argv[1:])
    # Opening a GIF may make room for a frame before its size is known. Pillow itself refuses it
    # from twice this number of pixels on, a limit of the whole process, which is ours alone.
    Image.MAX_IMAGE_PIXELS = (limits.max_pixels + 1) // 2
    _prepare()
    with socket.socket(fileno=sys.stdin.fileno()) as line, suppress(Closed):
        allowance = Allowance(line, limits)
        protocol.send(line, protocol.READY)
        while True:
            _serve(line, limits, allowance)


class Allowance:
    """The memory and the time that the picture at hand may take.

    The limit on memory is the system's on address space, where there is one (Linux): should the
    estimate be wrong, allocating fails.
    """

    def __init__(self, line: socket.socket, limits: Limits) -> None:
        self._line = line
        self._limits = limits
        self._bare = _address_space()
        self._hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        self._file_bytes = 0
        self._needed = 0
        self._granted = 0

    def begin(self, file_bytes: int) -> None:
        """Make the limits those of a new picture, whose file comes on top."""
        self._file_bytes = file_bytes
        self._needed = 0
        self._limit_memory(self._limits.base_bytes)
        self._start_clock()

    def end(self) -> None:
        """Stop the clock."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def admit(self, needed: int) -> None:
        """Return when so much memory may be taken, in all.

        Raises:
            BadImageError: it is more than may ever be.
        """
        if needed > self._limits.most_bytes:
            raise self._too_much(f"takes {needed / MB:,.0f} MB")
        self._needed = needed
        if needed > self._granted:
            self._ask(needed)

    def tight(self) -> bool:
        """Return whether more memory could have made a difference."""
        return self._granted < self._limits.most_bytes and 2 * self._needed > self._granted

    def widen(self) -> None:
        """Return when all memory may be taken: there was not enough in spite of the estimate.

        Raises:
            BadImageError: it was all.
        """
        if self._granted >= self._limits.most_bytes:
            raise self._too_much("takes more")
        self._ask(self._limits.most_bytes)

    def _ask(self, needed: int) -> None:
        self.end()
        protocol.send(self._line, protocol.NEED, protocol.NUMBER.pack(needed))
        protocol.receive_header(self._line)
        self._limit_memory(needed)
        self._start_clock()

    def _start_clock(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._limits.limit_s + GRACE_S)

    def _limit_memory(self, granted: int) -> None:
        self._granted = granted
        if self._bare:
            soft = self._bare + SLACK_BYTES + self._file_bytes + granted
            if self._hard != resource.RLIM_INFINITY:
                soft = min(soft, self._hard)
            resource.setrlimit(resource.RLIMIT_AS, (soft, self._hard))

    def _too_much(self, found: str) -> BadImageError:
        return BadImageError(
            "too_much_memory",
            f"Decoding may take {self._limits.most_bytes / MB:,.0f} MB of memory; "
            f"the picture {found}.",
        )


def _prepare() -> None:
    # Ctrl-C and a stopping service reach all processes; the worker still needs us to finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError):  # it may be less already
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_WRITTEN_BYTES, MOST_WRITTEN_BYTES))
    # Only Linux has it: if memory runs out, it's for us to go.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
        score.write("1000")


def _serve(line: socket.socket, limits: Limits, allowance: Allowance) -> None:
    """Answer one file."""
    _, length = protocol.receive_header(line)
    allowance.begin(length)
    recipe = protocol.unpack_recipe(protocol.receive(line, protocol.RECIPE.size))
    data = protocol.receive(line, length - protocol.RECIPE.size)
    try:
        answer = _answer(data, recipe, limits, allowance)
    except BadImageError as error:
        answer = (protocol.BAD, f"{error.code}\n{error}".encode())
    allowance.end()
    protocol.send(line, *answer)


def _answer(data: bytes, recipe: Recipe, limits: Limits, allowance: Allowance) -> tuple[bytes, ...]:
    """Return what to send; raises `BadImageError`."""
    while True:
        try:
            height, width, rgb = picture.read(data, recipe, limits.max_pixels, allowance.admit)
            return protocol.PICTURE, protocol.SHAPE.pack(height, width), rgb
        except MemoryError:
            pass  # asking must wait until what the attempt has taken is free again
        except BadImageError as error:
            # Some libraries call a file damaged when they get no memory.
            if error.code not in ("corrupt", "truncated") or not allowance.tight():
                raise
        allowance.widen()


def _address_space() -> int:
    """Return the bytes of it that are in use, 0 where the system doesn't tell."""
    try:
        with open("/proc/self/statm") as sizes:  # noqa: PTH123 (pathlib takes 10 ms to import)
            return int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
