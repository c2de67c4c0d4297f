"""What to do while AWS does not answer: say it once, and wait a little longer each time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_worker.backoff import pause_s

# Where some calls work and others don't, that is not said again and again.
SAY_AGAIN_S = 60.0

log = structlog.get_logger()


class Outage:
    """Tells the log of the troubles of one kind of call; safe to share between threads.

    Args:
        doing: what is being tried, to stand in the log: "fetching images".
        clock: seconds that only go forward.
    """

    def __init__(self, doing: str, clock: Callable[[], float]) -> None:
        self._doing = doing
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._began = 0.0
        self._said = False
        self._quiet_until = 0.0

    def failed(self, error: ImagefleetError) -> float:
        """Take note of a call that failed; return the seconds to wait before the next one."""
        with self._lock:
            now = self._clock()
            self._failures += 1
            if self._failures == 1:
                self._began = now
            say = not self._said and now >= self._quiet_until
            if say:
                self._said, self._quiet_until = True, now + SAY_AGAIN_S
        if say:
            log.warning("AWS does not answer, trying on", doing=self._doing, reason=str(error))
        return pause_s(self._failures)

    def answered(self) -> None:
        """Take note of a call that worked."""
        if not self._failures:  # the everyday case takes no lock
            return
        with self._lock:
            say, self._said, self._failures = self._said, False, 0
        if say:
            after_s = round(self._clock() - self._began, 1)
            log.info("AWS answers again", doing=self._doing, after_s=after_s)
