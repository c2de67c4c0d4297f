"""How long to leave EC2 alone after it refused."""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 30.0
LONGEST_S = 600.0


class Backoff:
    """Pauses that double, up to ten minutes, until something succeeds.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._clock = clock
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s
        self._until = float("-inf")

    @property
    def lasts(self) -> bool:
        """Whether a pause lasts."""
        return self._clock() < self._until

    def begin(self) -> float:
        """Begin a pause and return its seconds; the next one is twice as long."""
        pause_s = self._next_s
        self._until = self._clock() + pause_s
        self._next_s = min(self._longest_s, 2 * pause_s)
        return pause_s

    def reset(self) -> None:
        """End the pause; the next one is short again."""
        self._until = float("-inf")
        self._next_s = self._first_s
