"""How many images wait for a worker, as far as it is known.

Asked in the background and only when somebody uploads, so that no upload waits for the answer and
a system at rest pays for no question.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Lock

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.queues import Queue

log = structlog.get_logger()

FRESH_S = 5.0
# What was true so long ago tells nothing.
FORGOTTEN_S = 60.0


class Backlog:
    """The backlog of the requests queue.

    Args:
        told: hears of it whenever it was asked.
    """

    def __init__(
        self,
        requests: Queue,
        pool: Executor,
        *,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._requests = requests
        self._pool = pool
        self._clock = clock
        self._told = told
        self._asking = Lock()
        self._images: int | None = None
        self._known_at = float("-inf")
        self._stale_at = float("-inf")

    def images(self) -> int | None:
        """Return how many images waited when it was last asked, None if that isn't known."""
        now = self._clock()
        if now >= self._stale_at and self._asking.acquire(blocking=False):
            self._stale_at = now + FRESH_S
            try:
                self._pool.submit(self._ask)
            except RuntimeError:  # the process stops
                self._asking.release()
        return self._images if now - self._known_at < FORGOTTEN_S else None

    def _ask(self) -> None:
        try:
            self._images = self._requests.counts().visible
            self._known_at = self._clock()
            self._told(self._images)
        except ImagefleetError as error:
            log.info("backlog not known", reason=str(error))
        finally:
            self._asking.release()
