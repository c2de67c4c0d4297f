"""Whether this process could serve an upload now: its buckets and its requests queue answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.queues import Queue
from imagefleet_core.store import Store

FRESH_S = 2.0
# What has no answer after that is told so; load balancers give up after some seconds, too.
PATIENCE_S = 3.0


class Readiness:
    """Asks at most once in two seconds, however often it is asked itself."""

    def __init__(
        self,
        store: Store,
        requests: Queue,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._checks: dict[str, Callable[[], object]] = {
            "store": store.ping,
            "queue": requests.counts,
        }
        self._clock = clock
        self._patience_s = patience_s
        self._threads = ThreadPoolExecutor(len(self._checks), thread_name_prefix="ready")
        self._lock = Lock()
        self._asked: Mapping[str, Future[object]] = {}
        self._stale_at = float("-inf")

    def faults(self) -> dict[str, str]:
        """Return what does not answer, and why; empty if all is well."""
        asked = self._ask()
        wait(asked.values(), timeout=self._patience_s)
        told = {name: self._fault(answer) for name, answer in asked.items()}
        return {name: fault for name, fault in told.items() if fault}

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False)

    def _ask(self) -> Mapping[str, Future[object]]:
        """Return the checks that run, or have run lately; new ones where there are none."""
        with self._lock:
            running = not all(answer.done() for answer in self._asked.values())
            if self._clock() >= self._stale_at and not running:
                checks = self._checks.items()
                self._asked = {name: self._threads.submit(check) for name, check in checks}
                self._stale_at = self._clock() + FRESH_S
            return self._asked

    def _fault(self, answer: Future[object]) -> str:
        if not answer.done():
            return f"no answer for {self._patience_s:g} s"
        error = answer.exception()
        if error and not isinstance(error, ImagefleetError):
            raise error
        return str(error or "")
