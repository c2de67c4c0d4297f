"""One decoder's process, seen from the worker."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_worker.budget import Reservation
from imagefleet_worker.children import protocol
from imagefleet_worker.children.child import Child, ChildLost
from imagefleet_worker.children.protocol import Closed, Limits
from imagefleet_worker.decoding.formats import BadImageError
from imagefleet_worker.recipe import Picture, Recipe

# Without the working directory on its path, and without warnings about odd files.
COMMAND = (sys.executable, "-P", "-W", "ignore", "-m", "imagefleet_worker.children.decoder")

# Memory of large pictures goes back to the system at once; glibc would keep up to 64 MB of it
# (mallopt(3), M_MMAP_THRESHOLD).
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(8 * 1024 * 1024),
}
# What Python itself may need to start, where it's installed in an unusual way.
_INHERITED = ("LD_LIBRARY_PATH", "PYTHONHOME")

# What a decoder does to itself, or memory that it has damaged.
_CRASHES = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGTRAP,
}

log = structlog.get_logger()


class DecoderProcess(Child):
    """A decoder's process. Only one thread may use it at a time, but for `interrupt`.

    Raises:
        ChildLost: the system starts no process.
    """

    def __init__(self, command: Sequence[str], limits: Limits) -> None:
        super().__init__(
            "a decoder", [*command, *limits.arguments()], _environment(), keep_complaints=True
        )
        self._limits = limits

    def decode(self, data: bytes, recipe: Recipe, reserve: Callable[[int], Reservation]) -> Picture:
        """Return the picture in `data`; afterwards the process may be there or not.

        Args:
            reserve: asked for the memory that it takes, if that is more than the usual.

        Raises:
            BadImageError: the file is no picture, takes too long or crashes the decoder.
            ChildLost: the decoder was ended by something else.
        """
        try:
            return self._decode(data, recipe, reserve)
        except BadImageError:
            raise
        except Closed as error:
            raise self._autopsy() from error
        except TimeoutError as error:
            self.close()
            raise self._too_slow() from error
        except BaseException:
            self.close()  # nobody knows what it would say next
            raise

    def _decode(
        self, data: bytes, recipe: Recipe, reserve: Callable[[int], Reservation]
    ) -> Picture:
        ask, receive = self._ask, self._receive
        deadline = time.monotonic() + self._limits.limit_s
        with ExitStack() as memory:
            kind, length = ask(deadline, protocol.FILE, protocol.pack_recipe(recipe), data)
            while kind == protocol.NEED:
                (needed,) = protocol.NUMBER.unpack(receive(length))
                paused_at = time.monotonic()
                memory.close()  # who holds some while waiting for more may wait for ever
                memory.enter_context(reserve(needed))
                deadline += time.monotonic() - paused_at
                kind, length = ask(deadline, protocol.GRANT)
            if kind == protocol.BAD:
                code, message = receive(length).decode().split("\n", 1)
                raise BadImageError(code, message)  # type: ignore[arg-type]
            height, width = protocol.SHAPE.unpack(receive(protocol.SHAPE.size))
            colours = height * width * 3
            if max(height, width) > recipe.size or length != protocol.SHAPE.size + colours:
                raise ChildLost(f"a decoder answered with {length} bytes for {width} x {height}")
            return Picture(height, width, receive(colours))

    def _autopsy(self) -> ImagefleetError:
        """Return the error that the end of the process means for its picture."""
        number, ended_by = self._end()
        if number == signal.SIGALRM:
            return self._too_slow()
        log.warning("a decoder is gone", reason=ended_by, said=self._last_words())
        if number in _CRASHES:
            return BadImageError("decoder_crashed", f"Decoding the file ends in {ended_by}.")
        return ChildLost(f"a decoder is gone: {ended_by}")

    def _too_slow(self) -> BadImageError:
        return BadImageError(
            "decode_timeout", f"Decoding the file takes longer than {self._limits.limit_s:g} s."
        )


def _environment() -> dict[str, str]:
    """Return a decoder's environment: the worker's packages, but none of its credentials."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {"PYTHONPATH": os.pathsep.join(sys.path), **_ALLOCATOR, **inherited}
