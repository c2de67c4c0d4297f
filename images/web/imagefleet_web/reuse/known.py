"""What one process knows of images that were answered before.

An index in memory says which job had an answer; that it is still there, and still wanted, S3 alone
tells. Whatever goes wrong with any of this, an image is worked on as if nothing were known of it.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.jobs import JobId, Result, Status
from imagefleet_core.store import Store
from imagefleet_web.calls import Calls
from imagefleet_web.ids import made_at
from imagefleet_web.reuse.index import Answered, Index, Model, identity
from imagefleet_web.reuse.sharing import Sharing
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.ways import Heard, Way, nobody
from imagefleet_web.uploads.judging import Taken

log = structlog.get_logger()

# Images that are worked on, of about 300 bytes each; of any more nothing is learned.
MOST_EXPECTED = 20_000
IDLE_S = 3600.0


class NoReuse:
    """Knows nothing, and learns nothing."""

    def find(self, _owner: str | None, _images: Sequence[Taken]) -> dict[JobId, Result]:
        """Return the results of those images that need no work, to be kept with `keep`."""
        return {}

    def expect(self, _owner: str | None, _images: Sequence[Taken]) -> None:
        """Learn the answers to these images once they are known."""

    def keep(self, _results: Iterable[Result]) -> list[Result]:
        """Store results that were found; return those that now are."""
        return []

    def turn(self) -> float:
        """Share nothing with other processes; return seconds until the next turn."""
        return IDLE_S


class Reuse(NoReuse):
    """Finds answers that are known; calls the store through one bounded pool.

    Args:
        process: stands in a result as who wrote it.
        heard: told of the results that are kept.
    """

    def __init__(
        self,
        store: Store,
        pool: Calls,
        hub: Hub,
        *,
        process: str,
        heard: Heard = nobody,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._pool = pool
        self._hub = hub
        self._process = process
        self._heard = heard
        self._index = Index()
        self._sharing = Sharing(store, self._index, clock=clock)
        self._lock = Lock()
        self._expected: OrderedDict[JobId, bytes] = OrderedDict()
        hub.attend(self._learn)

    def turn(self) -> float:
        """Share what was learned with other processes; return seconds until the next turn."""
        return self._sharing.turn()

    def find(self, owner: str | None, images: Sequence[Taken]) -> dict[JobId, Result]:
        """Return the results of those images that need no work, to be kept with `keep`."""
        self._sharing.asked()
        named = [(one, identity(owner, one.body.sha256)) for one in images]
        known = [(*each, found) for each in named if (found := self._index.get(each[1]))]
        try:
            return self._look(known) if known else {}
        except Exception:
            log.exception("known answers can't be looked for")
            return {}

    def expect(self, owner: str | None, images: Sequence[Taken]) -> None:
        """Learn the answers to these images once they are known."""
        with self._lock:
            for one in images:
                self._expected[one.job] = identity(owner, one.body.sha256)
                if len(self._expected) > MOST_EXPECTED:
                    self._expected.popitem(last=False)

    def keep(self, results: Iterable[Result]) -> list[Result]:
        """Store results that were found; return those that now are."""
        kept = []
        storing = [(each, self._pool.submit(self._store.put_result, each)) for each in results]
        for result, stored in storing:
            try:
                stored.result()
            except ImagefleetError as error:
                log.info("known answer not kept", job=str(result.job), reason=str(error))
                continue
            kept.append(result)
            self._hub.publish(result)
            self._heard(result, Way.REUSED)
        return kept

    def _look(self, known: Sequence[tuple[Taken, bytes, Answered]]) -> dict[JobId, Result]:
        """Return the results of images whose answers are still there, each its own."""
        batches = {found.job.batch for _, _, found in known}
        deleted = {batch: self._pool.submit(self._store.is_deleted, batch) for batch in batches}
        stored = [self._pool.submit(self._store.get_result, found.job) for _, _, found in known]
        results = {}
        for (one, image, found), asked in zip(known, stored, strict=True):
            try:
                gone, result = deleted[found.job.batch].result(), asked.result()
            except ImagefleetError as error:
                log.info("known answer can't be read", job=str(found.job), reason=str(error))
                continue
            if result and not gone and result.model == found.model and not result.error:
                results[one.job] = self._copy(result, one)
            else:
                self._index.forget(image, found)
        return results

    def _copy(self, result: Result, one: Taken) -> Result:
        now = datetime.now(UTC)
        return replace(
            result,
            job=one.job,
            key=None,
            name=one.name,
            worker=self._process,
            # Of ids that are made within a millisecond, each is of one millisecond more.
            submitted_at=min(made_at(one.job.batch) or now, now),
            started_at=now,
            finished_at=now,
            reused_from=result.job,
        )

    def _learn(self, result: Result) -> None:
        """Take note of a result that became known, if it is of an image that came in here."""
        if result.status is not Status.DONE or result.reused_from:
            return
        # No clock that is ahead decides which model is the newest one.
        model = Model(sys.intern(result.model), min(result.finished_at, datetime.now(UTC)))
        self._index.heard(model)
        with self._lock:
            image = self._expected.pop(result.job, None)
        if image is not None:
            answered = Answered(result.job, model.name)
            self._index.put(image, answered)
            self._sharing.learned(image, answered)
