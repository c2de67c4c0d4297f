"""How many images the batches of a list have, and how many of them are finished.

That takes two LISTs a batch, so few are counted at once, and what can't change any more is
remembered: of a finished batch it is only asked whether it was deleted, for a twelfth of a LIST.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

from imagefleet_core.store import Store
from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.telling.results import Counts, Results

# Lists that are counted at once, and batches of each: half of the calls that a process makes at
# once, by default, are left to uploads.
LISTS_AT_ONCE = 2
BATCHES_AT_ONCE = 8
# How long others wait for their turn.
PATIENCE_S = 20.0
# Finished batches, a quarter of a KiB each.
REMEMBERED = 10_000


class Sums:
    """Counts batches; every call to the store goes through one bounded pool."""

    def __init__(
        self, results: Results, store: Store, pool: Executor, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._results = results
        self._store = store
        self._pool = pool
        self._patience_s = patience_s
        self._turns = BoundedSemaphore(LISTS_AT_ONCE)
        self._lock = Lock()
        self._final: OrderedDict[str, Counts] = OrderedDict()

    def of(self, batches: Sequence[str]) -> dict[str, Counts]:
        """Return how many images of each batch are finished; those that are gone are left out.

        Raises:
            Problem: so many others count that the turn of this list did not come.
        """
        counted: dict[str, Counts] = {}
        with self._turn():
            for start in range(0, len(batches), BATCHES_AT_ONCE):
                some = batches[start : start + BATCHES_AT_ONCE]
                known = self._known(some)
                counted |= known
                unknown = self._results.counts([each for each in some if each not in known])
                counted |= unknown
                self._remember(unknown)
        return {batch: counted[batch] for batch in batches if batch in counted}

    def forget(self, batch: str) -> None:
        """Forget a batch that was deleted."""
        with self._lock:
            self._final.pop(batch, None)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._patience_s):
            raise Problem(problems.BUSY, "Too many lists are being made. Try again soon.")
        try:
            yield
        finally:
            self._turns.release()

    def _known(self, batches: Sequence[str]) -> dict[str, Counts]:
        """Return what is remembered of batches, but for those that are deleted by now."""
        with self._lock:
            known = {each: self._final[each] for each in batches if each in self._final}
            for batch in known:
                self._final.move_to_end(batch)
        gone = self._pool.map(self._store.is_deleted, known)
        for batch, deleted in zip(known, gone, strict=True):
            if deleted:
                self.forget(batch)
        with self._lock:
            return {batch: counts for batch, counts in known.items() if batch in self._final}

    def _remember(self, counted: Mapping[str, Counts]) -> None:
        with self._lock:
            self._final |= {batch: counts for batch, counts in counted.items() if counts.final}
            while len(self._final) > REMEMBERED:
                self._final.popitem(last=False)
