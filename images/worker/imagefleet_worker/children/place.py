"""Where one process after the other does its work: whichever ends is followed by the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from imagefleet_worker.backoff import pause_s
from imagefleet_worker.children.child import Child, ChildLost

C = TypeVar("C", bound=Child)


class Place(Generic[C]):
    """A place for one child; used by one thread at a time, but for `interrupt`.

    Args:
        make: starts a child; raises `ChildLost`.
        closing: set when no more are wanted.
    """

    def __init__(self, make: Callable[[], C], closing: threading.Event) -> None:
        self._make = make
        self._closing = closing
        self._child: C | None = None
        self._started = 0
        self._failures = 0
        self._resume_at = 0.0

    @property
    def working(self) -> bool:
        """Whether the last attempt to start a child didn't fail."""
        return not self._failures

    @property
    def restarts(self) -> int:
        """How many children have followed another."""
        return max(0, self._started - 1)

    def start(self) -> None:
        """Start a child, without waiting for it."""
        with suppress(ChildLost):  # whoever needs it tries again, and hears why
            self._child = self._next()

    def child(self) -> C:
        """Return a child that can be used; raises `ChildLost` if none can be started."""
        if self._closing.wait(max(0.0, self._resume_at - time.monotonic())):
            raise ChildLost("the worker is about to end")
        try:
            if self._child is None or not self._child.alive():
                self.close()
                self._child = self._next()
            self._child.await_ready()
        except ChildLost:
            self.close()
            self._failures += 1
            self._resume_at = time.monotonic() + pause_s(self._failures)
            raise
        self._failures = 0
        return self._child

    def renew(self) -> None:
        """Start the next child if the present one is gone."""
        if self._child is None or not self._child.alive():
            self.close()
            if not self._closing.is_set():
                self.start()

    def interrupt(self) -> None:
        """End a child at once that another thread may be using."""
        if child := self._child:
            child.interrupt()

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _next(self) -> C:
        child = self._make()
        self._started += 1
        return child
