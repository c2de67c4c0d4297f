"""A number of bytes that many threads share."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Self

from imagefleet_core.errors import ImagefleetError


class BudgetClosed(ImagefleetError):
    """Nobody waits for memory any more: the worker is about to end."""


class Budget:
    """Bytes that are reserved before they are used, first come, first served.

    Nobody overtakes: a large reservation waits until enough is free, and later ones, however
    small, wait behind it.

    Args:
        total_bytes: what all reservations together may be; one that is larger counts as all of
            it, so that a single image of any size still gets through.
    """

    def __init__(self, total_bytes: int) -> None:
        if total_bytes < 0:
            raise ValueError(f"a budget of {total_bytes} bytes")
        self.total_bytes = total_bytes
        self._used = 0
        self._lock = threading.Lock()
        self._waiting: deque[Reservation] = deque()
        self._closed = False

    def reserve(self, n: int) -> Reservation:
        """Return when `n` bytes are free, and take them until the reservation is released.

        Raises:
            BudgetClosed: the budget was closed, before or while this waited.
        """
        if n < 0:
            raise ValueError(f"a reservation of {n} bytes")
        reservation = Reservation(self, min(n, self.total_bytes))
        with self._lock:
            if not self._closed:
                self._waiting.append(reservation)
                self._serve()
                if reservation in self._waiting:
                    reservation.decided = threading.Event()
        if reservation.decided is not None:
            reservation.decided.wait()
        if not reservation.held:
            raise BudgetClosed("the memory for images is given out no more")
        return reservation

    def used(self) -> int:
        """Return the bytes that are reserved."""
        return self._used

    def close(self) -> None:
        """Let all that wait, and all that come, fail."""
        with self._lock:
            self._closed = True
            for reservation in self._waiting:
                reservation.decide()
            self._waiting.clear()

    def release(self, reservation: Reservation) -> None:
        """Let others have the bytes; harmless to call twice."""
        with self._lock:
            if reservation.held:
                reservation.held = False
                self._used -= reservation.n
                self._serve()

    def _serve(self) -> None:
        """Give the first ones in the queue what they wait for, as far as it goes."""
        while self._waiting and self._used + self._waiting[0].n <= self.total_bytes:
            reservation = self._waiting.popleft()
            self._used += reservation.n
            reservation.held = True
            reservation.decide()


class Reservation:
    """Bytes of a budget that are taken until they are released; a context manager.

    Attributes:
        n: how many, at most all of the budget.
        held: whether they are taken right now.
        decided: set once waiting is over.
    """

    __slots__ = ("_budget", "decided", "held", "n")

    def __init__(self, budget: Budget, n: int) -> None:
        self._budget = budget
        self.n = n
        self.held = False
        self.decided: threading.Event | None = None

    def decide(self) -> None:
        """End the waiting, whatever its outcome."""
        if self.decided is not None:
            self.decided.set()

    def release(self) -> None:
        """Let others have the bytes; harmless to call twice."""
        self._budget.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
