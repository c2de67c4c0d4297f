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
        self._changed = threading.Condition()
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
        with self._changed:
            self._waiting.append(reservation)
            self._changed.wait_for(lambda: self._closed or self._is_next(reservation))
            self._waiting.remove(reservation)
            if self._closed:
                raise BudgetClosed("the memory for images is given out no more")
            self._used += reservation.n
            reservation.held = True
            self._changed.notify_all()  # the next in line may fit too
        return reservation

    def used(self) -> int:
        """Return the bytes that are reserved."""
        return self._used

    def close(self) -> None:
        """Let all that wait, and all that come, fail."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def release(self, reservation: Reservation) -> None:
        """Let others have the bytes; harmless to call twice."""
        with self._changed:
            if reservation.held:
                reservation.held = False
                self._used -= reservation.n
                self._changed.notify_all()

    def _is_next(self, reservation: Reservation) -> bool:
        first = self._waiting[0] is reservation
        return first and self._used + reservation.n <= self.total_bytes


class Reservation:
    """Bytes of a budget that are taken until they are released; a context manager.

    Attributes:
        n: how many, at most all of the budget.
        held: whether they are taken right now.
    """

    __slots__ = ("_budget", "held", "n")

    def __init__(self, budget: Budget, n: int) -> None:
        self._budget = budget
        self.n = n
        self.held = False

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
