"""How many requests of this process may wait at once.

A waiting request holds a thread of the server, which has more threads than seats: so one is
always left for those that do not wait, such as `/healthz`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


class Seats:
    """Counts those who wait, and lets no more than `limit` do so.

    Args:
        told: hears how many seats are taken, whenever that changes.
    """

    def __init__(self, limit: int, *, told: Callable[[int], object] = lambda _: None) -> None:
        self._limit = self._free = limit
        self._told = told
        self._lock = Lock()

    def take(self) -> bool:
        """Take a seat if one is free; never blocks."""
        with self._lock:
            taken = self._free > 0
            self._free -= taken
            self._told(self._limit - self._free)
            return taken

    def leave(self) -> None:
        """Give a seat back that was taken."""
        with self._lock:
            self._free += 1
            self._told(self._limit - self._free)

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold a seat meanwhile; gives whether one was free."""
        taken = self.take()
        try:
            yield taken
        finally:
            if taken:
                self.leave()
