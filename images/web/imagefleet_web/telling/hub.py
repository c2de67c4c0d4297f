"""The results that became known to this process, and those who wait for some.

Whoever learns of a result publishes it here: the replies queue, the looks into the store, the
janitor, a request that read it. A waiting thread is parked until a result is told to it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Self

from imagefleet_core.jobs import JobId, Result, Status
from imagefleet_web.telling.recent import REMEMBERED, Recent


class Hub:
    """Where results meet those who wait; safe to share between threads."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._lock = Lock()
        self._recent = Recent(remembered)
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._listeners: list[Callable[[Result], None]] = []
        self._watch_listeners: list[Callable[[], None]] = []
        self._closed = False

    def attend(self, listener: Callable[[Result], None]) -> None:
        """Tell a listener, who must be quick, of every result that is published from now on."""
        self._listeners.append(listener)

    def attend_watches(self, listener: Callable[[], None]) -> None:
        """Tell a listener, who must be quick, whenever somebody begins to wait."""
        self._watch_listeners.append(listener)

    def publish(self, result: Result) -> None:
        """Tell a result to those who wait for it; telling it twice is harmless."""
        with self._lock:
            known = self._recent.get(result.job)
            if known is not None and known.status is Status.DONE:  # as in the store, it stays
                result = known
            self._recent.put(result)
            for watch in self._watches.get(result.job.batch, ()):
                watch.tell(result)
        for listener in self._listeners:
            listener(result)

    def tell(self, result: Result) -> None:
        """Tell a result to those who wait for it, of which nothing is remembered."""
        with self._lock:
            for watch in self._watches.get(result.job.batch, ()):
                watch.tell(result)

    def recall(self, job: JobId) -> Result | None:
        """Return a label that became known lately.

        A failure may have been put right since (`scripts/redrive`), so the store is asked for it.
        """
        with self._lock:
            result = self._recent.get(job)
        return result if result and result.status is Status.DONE else None

    def forget(self, batch: str) -> None:
        """Forget the results of a batch that was deleted, and let those go who wait for more."""
        with self._lock:
            self._recent.forget(batch)
            for watch in self._watches.get(batch, ()):
                watch.tell(None)

    def watch(self, batch: str, numbers: Iterable[int]) -> Watch:
        """Return a watch on some jobs of a batch; what is known already is told at once."""
        return Watch(self, batch, numbers)

    def wanted(self) -> dict[str, set[int]]:
        """Return the numbers that are waited for, by batch."""
        with self._lock:
            return {
                batch: set().union(*(watch.missing for watch in watches))
                for batch, watches in self._watches.items()
            }

    def waits_for(self, job: JobId) -> bool:
        """Whether anybody waits for a job's result."""
        with self._lock:
            return any(job.number in watch.missing for watch in self._watches.get(job.batch, ()))

    def is_waited_at(self) -> bool:
        """Whether anybody waits for a result."""
        return bool(self._watches)

    def close(self) -> None:
        """Let everybody go who waits, now and from now on."""
        with self._lock:
            self._closed = True
            for watches in self._watches.values():
                for watch in watches:
                    watch.tell(None)

    def add(self, watch: Watch) -> None:
        """Begin to tell a watch of its results."""
        with self._lock:
            self._watches[watch.batch].add(watch)
            if self._closed:
                watch.tell(None)
            for number in list(watch.missing):
                if result := self._recent.get(JobId(watch.batch, number)):
                    watch.tell(result)
        for listener in self._watch_listeners:
            listener()

    def remove(self, watch: Watch) -> None:
        """Tell a watch no more."""
        with self._lock:
            self._watches[watch.batch].discard(watch)
            if not self._watches[watch.batch]:
                del self._watches[watch.batch]


class Watch:
    """Waits for the results of some jobs of one batch, each told once; for one thread.

    Attributes:
        missing: the numbers whose results are not known yet.
        released: whether nothing more is told: the process stops, or the batch was deleted.
    """

    def __init__(self, hub: Hub, batch: str, numbers: Iterable[int]) -> None:
        self.batch = batch
        self.missing = set(numbers)
        self.released = False
        self._hub = hub
        self._told: SimpleQueue[Result | None] = SimpleQueue()
        self._outstanding = len(self.missing)

    def __enter__(self) -> Self:
        self._hub.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hub.remove(self)

    def tell(self, result: Result | None) -> None:
        """Pass a result on, or None for the end; called with the hub's lock held."""
        if result is None:
            self._told.put(None)
        elif result.job.number in self.missing:
            self.missing.remove(result.job.number)
            self._told.put(result)

    @property
    def complete(self) -> bool:
        """Whether all results were handed out."""
        return self._outstanding == 0

    def arrivals(self, deadline: float) -> Iterator[Result]:
        """Hand out results as they arrive, until all did or `time.monotonic()` is `deadline`."""
        while not self.complete and not self.released:
            try:
                result = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return
            if result is None:
                self.released = True
                return
            self._outstanding -= 1
            yield result
