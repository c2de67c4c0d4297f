"""How the worker stops: it takes no more, finishes what it holds, and gives back the rest."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from imagefleet_worker.leases import Leases

TICK_S = 0.1


class Stop:
    """Whether the worker is to stop: SIGTERM or Ctrl-C asks for it, a second one insists."""

    def __init__(self) -> None:
        self._asked = False
        self._signals = 0

    def on_signals(self) -> None:
        """Listen to SIGTERM and SIGINT from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.signalled)

    def ask(self) -> None:
        """Ask the worker to stop; only signals can insist."""
        self._asked = True

    @property
    def asked(self) -> bool:
        """Whether the worker is to take no more."""
        return self._asked or self._signals > 0

    @property
    def at_once(self) -> bool:
        """Whether there is no time to finish anything."""
        return self._signals > 1

    def signalled(self, _number: int, _frame: FrameType | None = None) -> None:
        """Take note of a signal."""
        # A handler may interrupt any instruction: logging or locking here could wait for itself.
        self._signals += 1


def drain(
    leases: Leases,
    receiving: Callable[[], bool],
    stop: Stop,
    *,
    within_s: float,
    clock: Callable[[], float],
    pause: Callable[[float], object],
) -> None:
    """Wait until nothing is held, for `within_s` at most, or until a second signal.

    A receive that is under way may still bring messages. They are finished too: giving them back
    would count as one of the tries that each has.
    """
    deadline = clock() + within_s
    while (receiving() or leases.held()) and clock() < deadline and not stop.at_once:
        pause(TICK_S)
