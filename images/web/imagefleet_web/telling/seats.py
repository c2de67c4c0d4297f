"""How many requests of this process may do at once what holds a thread of the server for long.

There are seats of two kinds, each fewer than threads. Those that wait for results have one, so
that others can still ask and upload; and all that ask AWS for something have one of the other
kind, those that wait included, so that others are answered while AWS is silent (`askers`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


class Seats:
    """Counts those who do it, and lets no more than `limit` do so.

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
