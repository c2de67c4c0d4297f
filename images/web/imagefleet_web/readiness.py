"""Whether this process could serve an upload now: its buckets and its requests queue answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.queues import Queue
from imagefleet_core.store import Store

FRESH_S = 2.0


class Readiness:
    """Asks at most once in two seconds, however often it is asked itself."""

    def __init__(
        self, store: Store, requests: Queue, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._checks: dict[str, Callable[[], object]] = {
            "store": store.ping,
            "queue": requests.counts,
        }
        self._clock = clock
        self._checking = Lock()
        self._faults = {"check": "the first one is still running"}
        self._stale_at = float("-inf")

    def faults(self) -> dict[str, str]:
        """Return what does not answer, and why; empty if all is well."""
        # While one thread asks something that hangs, the others tell what was known before.
        if self._checking.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._checking.release()
        return self._faults

    def _refresh(self) -> None:
        if self._clock() < self._stale_at:
            return
        faults = {}
        for name, check in self._checks.items():
            try:
                check()
            except ImagefleetError as error:
                faults[name] = str(error)
        self._faults = faults
        self._stale_at = self._clock() + FRESH_S
