"""Threads beside the requests, each repeating one turn until the process stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event, Thread

import structlog

from imagefleet_core.errors import ImagefleetError

log = structlog.get_logger()

# Does one piece of work and returns how many seconds to rest before the next.
Turn = Callable[[], float]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# What lasts is told that often, so that it does not hide what else there is to read.
TELL_AGAIN_S = 600.0


class Background:
    """Runs each turn in a thread of its own, and again after it failed."""

    def __init__(self, turns: Mapping[str, Turn]) -> None:
        self._turns = turns
        self._stopping = Event()

    def start(self) -> None:
        """Start the threads; after a fork, since threads do not survive one."""
        for name, turn in self._turns.items():
            Thread(target=self._repeat, args=(name, turn), name=name, daemon=True).start()

    def stop(self) -> None:
        """Begin no further turn; one that waits for a message is left to end with the process."""
        self._stopping.set()

    def _repeat(self, name: str, turn: Turn) -> None:
        pause_s, trouble = FIRST_PAUSE_S, _Trouble(name)
        while not self._stopping.is_set():
            try:
                rest_s = turn()
                trouble.over()
                pause_s = FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001  # it is told, and tried again
                if self._stopping.is_set():
                    return  # what it needs is being taken down
                trouble.goes_on(error)
                rest_s, pause_s = pause_s, min(pause_s * 2, LONGEST_PAUSE_S)
            self._stopping.wait(rest_s)


class _Trouble:
    """Tells of a turn that fails: when that begins, now and then while it lasts, and its end."""

    def __init__(self, turn: str) -> None:
        self._turn = turn
        self._kind: type[Exception] | None = None
        self._since = 0.0
        self._tell_at = 0.0

    def goes_on(self, error: Exception) -> None:
        """Tell of a failure, unless one of its kind was told lately."""
        now = time.monotonic()
        if self._kind is None:
            self._since = now
        if self._kind is not type(error):
            self._kind, self._tell_at = type(error), now
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_AGAIN_S
        foreseen = isinstance(error, ImagefleetError)
        log.warning("turn failed", turn=self._turn, reason=str(error), exc_info=not foreseen)

    def over(self) -> None:
        """Tell that the turn works again, if it did not."""
        if self._kind is not None:
            log.info(
                "turn works again", turn=self._turn, after_s=round(time.monotonic() - self._since)
            )
            self._kind = None
