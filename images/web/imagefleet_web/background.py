"""Threads beside the requests, each repeating one turn until the process stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event, Thread

import structlog

from imagefleet_core.errors import ImagefleetError

log = structlog.get_logger()

# Does one piece of work and returns how many seconds to rest before the next.
Turn = Callable[[], float]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


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
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                rest_s = turn()
                pause_s = FIRST_PAUSE_S
            except Exception as error:
                if self._stopping.is_set():
                    return  # what it needs is being taken down
                log.warning(
                    "turn failed",
                    turn=name,
                    reason=str(error),
                    again_in_s=pause_s,
                    exc_info=not isinstance(error, ImagefleetError),
                )
                rest_s, pause_s = pause_s, min(pause_s * 2, LONGEST_PAUSE_S)
            self._stopping.wait(rest_s)
