"""Undoes uploads that failed, so that nothing is left of what was to be all or nothing.

What of a failed upload was stored is deleted: at once where the store answers, else as soon as it
does. What was queued, or may have been, finds the mark of a deleted batch. A call that nobody
waited for any more may still be done by S3 afterwards, so each batch is deleted a second time a
while later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

import structlog

from imagefleet_core.errors import Unavailable
from imagefleet_core.store import Store
from imagefleet_web.uploads.claims import Unclaimed

log = structlog.get_logger()

# A client that is told of a failure need not wait long until its images are gone.
AT_ONCE_S = 2.0
# When an image is looked for a second time, in silences of AWS that a call outlives at most.
SILENCES = 6
# What can't be deleted for so long is left to the bucket's own rule.
PATIENCE_S = 3600.0
IDLE_S = 1.0
# More uploads than that, each of some hundred bytes here, fail in no outage that ends.
MOST = 10_000


@dataclass(slots=True)
class _Failed:
    """An upload that failed.

    Attributes:
        until: when it is given up, if it can't be deleted.
        due: when it is to be deleted, or deleted again.
        deleted: whether it was deleted once.
    """

    batch: str
    claim: Unclaimed
    until: float
    due: float
    deleted: bool = False


class Undoing:
    """Deletes the batches of uploads that failed; `turn` is for one thread.

    Args:
        silent_s: for how long a call to the store may be silent.
    """

    def __init__(
        self,
        store: Store,
        pool: Executor,
        *,
        silent_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._pool = pool
        self._again_s = SILENCES * silent_s
        self._clock = clock
        self._lock = Lock()
        self._failed: dict[str, _Failed] = {}

    def undo(self, batch: str, claim: Unclaimed) -> None:
        """Delete a batch that is not to be, unless it is another process's by now.

        Returns when that is done, or after a moment, and then sees to it in the background.
        """
        now = self._clock()
        failed = _Failed(batch, claim, until=now + PATIENCE_S, due=now + 2 * AT_ONCE_S)
        with self._lock:
            dropped = next(iter(self._failed.values())) if len(self._failed) >= MOST else None
            if dropped:
                del self._failed[dropped.batch]
            self._failed[batch] = failed
        if dropped:
            _tell_of(dropped, "too many uploads failed")
        with suppress(RuntimeError):  # the process stops
            wait([self._pool.submit(self._undo, failed)], timeout=AT_ONCE_S)

    def turn(self) -> float:
        """Delete what is due; return seconds until the next turn.

        Raises:
            Unavailable: the store does not answer yet.
        """
        now = self._clock()
        with self._lock:
            due = [failed for failed in self._failed.values() if failed.due <= now]
        first: Unavailable | None = None
        for failed in due:
            try:
                self._undo(failed)
            except Unavailable as error:
                first = first or error
                if now >= failed.until:
                    _tell_of(failed, str(error))
                    self._forget(failed)
        if first:
            raise first
        return IDLE_S

    def stop(self) -> None:
        """Tell of what is left, as the process ends."""
        with self._lock:
            left = sum(not failed.deleted for failed in self._failed.values())
        if left:
            log.warning("images of failed uploads left behind", uploads=left)

    def _undo(self, failed: _Failed) -> None:
        again = failed.deleted
        if not failed.claim.give_up():
            self._forget(failed)
            return
        self._store.delete_batch(failed.batch)
        if again:
            self._forget(failed)
        failed.due, failed.deleted = self._clock() + self._again_s, True

    def _forget(self, failed: _Failed) -> None:
        with self._lock:
            self._failed.pop(failed.batch, None)


def _tell_of(failed: _Failed, reason: str) -> None:
    log.warning("images of a failed upload left behind", batch=failed.batch, reason=reason)
