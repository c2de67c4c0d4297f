"""Decoding in processes of its own, so that no image can take the worker with it.

What runs inside C can be stopped in no other way, nor outlived when it crashes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from imagefleet_worker.budget import Budget, BudgetClosed, Reservation
from imagefleet_worker.children.child import ChildLost
from imagefleet_worker.children.decoder_process import COMMAND, DecoderProcess
from imagefleet_worker.children.place import Place
from imagefleet_worker.children.protocol import Limits
from imagefleet_worker.recipe import Picture, Recipe

# Memory that each decoder may use without asking: enough for any JPEG that isn't progressive, and
# for 6 megapixels of the other usual ones.
BASE_BYTES = 32_000_000
# Of little memory, half is for those that ask.
_SHARE_OF_BASES = 0.5
# How long closing waits for the threads that decode.
_CLOSING_S = 5.0


class Decoders:
    """`count` decoders, which start at once and are replaced as they end; a context manager.

    Args:
        limit_s: what decoding one image may take; waiting for memory doesn't count.
        memory_bytes: what all decoders together may use for pictures, beside the 20 MB that each
            takes itself and the file that it holds.
        command: what starts one, its arguments not included.
    """

    def __init__(
        self,
        *,
        count: int,
        max_pixels: int,
        limit_s: float,
        memory_bytes: int,
        command: Sequence[str] = COMMAND,
    ) -> None:
        base = min(BASE_BYTES, int(memory_bytes * _SHARE_OF_BASES / count))
        self._budget = Budget(memory_bytes - count * base)
        limits = Limits(max_pixels, limit_s, base, base + self._budget.total_bytes)
        self._closing = threading.Event()
        self._places = [
            Place(lambda: DecoderProcess(command, limits), self._closing) for _ in range(count)
        ]
        self._base = base
        self._free = deque(self._places)
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        for place in self._places:
            place.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._budget.close()
        with self._changed:
            self._changed.notify_all()
            for place in self._places:
                place.interrupt()
            self._changed.wait_for(lambda: len(self._free) == len(self._places), _CLOSING_S)
            for place in self._free:
                place.close()

    def await_ready(self) -> None:
        """Return when a decoder can be used; raises `ChildLost` that says why none can."""
        with self._place() as place:
            place.child()

    def decode(self, data: bytes, recipe: Recipe) -> Picture:
        """Return the picture in `data` as the recipe wants it, waiting for a decoder that is free.

        Raises:
            BadImageError: it is none, takes too long or too much memory, or crashes the decoder.
            ChildLost: the decoder was ended by something else, or none can be started.
        """
        with self._place() as place:
            decoder = place.child()
            try:
                return decoder.decode(data, recipe, self._reserve)
            except BudgetClosed as error:
                raise ChildLost("the decoders are closed") from error
            finally:
                place.renew()

    def used(self) -> int:
        """Return the bytes of memory that large pictures have reserved."""
        return self._budget.used()

    def limit(self) -> int:
        """Return the bytes that large pictures may reserve, all of them together."""
        return self._budget.total_bytes

    def restarts(self) -> int:
        """Return how many decoders have followed one that ended."""
        return sum(place.restarts for place in self._places)

    def _reserve(self, needed: int) -> Reservation:
        return self._budget.reserve(needed - self._base)

    @contextmanager
    def _place(self) -> Iterator[Place[DecoderProcess]]:
        """Give a place to one thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._closing.is_set())
            if self._closing.is_set():
                raise ChildLost("the decoders are closed")
            place = self._free.pop()
        try:
            yield place
        finally:
            with self._changed:
                # The one used last is the warmest; one without a decoder is the last resort.
                (self._free.append if place.working else self._free.appendleft)(place)
                self._changed.notify_all()
