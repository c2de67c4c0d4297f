"""Reads where jobs stand: from what this process heard lately, else from the store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from imagefleet_core import keys
from imagefleet_core.errors import BatchDeleted, DecodeError
from imagefleet_core.jobs import JobId, Result
from imagefleet_core.store import Store
from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.serving.presence import LOOK_S, Gone, never
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.ways import Heard, Way, nobody
from imagefleet_web.uploads.awaited import Arrivals, Expected, not_uploaded

log = structlog.get_logger()

# Results that are read at once for an answer that is sent piece by piece.
PIECE = 32


@dataclass(frozen=True, slots=True)
class Standing:
    """Where some jobs of one batch stand.

    Attributes:
        names: file names by number, for all the jobs in question.
        results: what is known of them so far, by number.
        uploads: until when the images can be uploaded that are awaited still, by number.
    """

    batch: str
    names: dict[int, str]
    results: dict[int, Result] = field(default_factory=dict)
    uploads: dict[int, datetime] = field(default_factory=dict)

    @property
    def pending(self) -> list[int]:
        """The numbers without a result, in order."""
        return sorted(self.names.keys() - self.results.keys())

    def add(self, result: Result) -> None:
        """Take in the result of one of the jobs."""
        self.results[result.job.number] = result

    def expect(self, expected: Expected) -> None:
        """Take in which of the images are awaited, or did not come."""
        for number in expected.absent & self.names.keys():
            if expected.over:
                job = JobId(self.batch, number)
                self.add(not_uploaded(job, expected.names[number], expected.until))
            else:
                self.uploads[number] = expected.until


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images a batch has, and how many of them have a result.

    Attributes:
        final: whether nothing but its deletion will ever change that.
    """

    total: int
    finished: int
    final: bool


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the store lists of a batch: names, as far as they are known, and who has a result."""

    names: dict[int, str]
    finished: set[int]
    expected: Expected | None


class Results:
    """Answers questions about jobs; every call to the store goes through one bounded pool.

    Args:
        heard: told of the results that replies and looks lead to.
    """

    def __init__(self, hub: Hub, store: Store, pool: Executor, *, heard: Heard = nobody) -> None:
        self._hub = hub
        self._store = store
        self._arrivals = Arrivals(store)
        self._pool = pool
        self._heard = heard

    def of_job(self, job: JobId) -> Standing:
        """Return where one job stands.

        Raises:
            Problem: there is no such job.
            BatchDeleted: its batch was deleted, which another process may have done.
        """
        deleted = self._pool.submit(self._store.is_deleted, job.batch)
        result = self._hub.recall(job) or self._pool.submit(self._fetch, job).result()
        if deleted.result():
            raise BatchDeleted(f"the batch {job.batch} was deleted")
        if result:
            return Standing(job.batch, {job.number: result.name}, {job.number: result})
        key = self._pool.submit(self._store.image_key, job).result()
        if named := keys.parse_input_key(key) if key else None:
            return Standing(job.batch, {job.number: named[1]})
        expected = self._pool.submit(self._arrivals.expected, job.batch, set()).result()
        if expected is None or job.number not in expected.names:
            raise no_job(job)
        standing = Standing(job.batch, {job.number: expected.names[job.number]})
        standing.expect(expected)
        return standing

    def of_batch(self, batch: str) -> Standing:
        """Return where all jobs of a batch stand.

        Raises:
            Problem: there is no such batch.
            BatchDeleted: there is none any more.
        """
        listed = self._list(batch)
        return self._read(batch, listed, listed.names)

    def catch_up(self, standing: Standing) -> None:
        """Add the results that the pending jobs have by now; raises `BatchDeleted`."""
        listed = self._pool.submit(self._store.result_numbers, standing.batch).result()
        for result in self._get(standing.batch, listed.intersection(standing.pending)):
            standing.add(result)

    def in_pieces(self, batch: str) -> Iterator[Standing]:
        """Return where all jobs of a batch stand, a few of them at a time, in order.

        However large the batch, only one piece's results are in memory.

        Raises:
            Problem, BatchDeleted: as `of_batch` does; at once, and not with the first piece.
        """
        listed = self._list(batch)
        numbers = sorted(listed.names)
        pieces = (numbers[i : i + PIECE] for i in range(0, len(numbers), PIECE))
        return (self._read(batch, listed, piece) for piece in pieces)

    def counts(self, batches: Sequence[str]) -> dict[str, Counts]:
        """Return how many images of each batch are finished; those that are gone are left out."""
        counted = zip(batches, self._pool.map(self._count, batches), strict=True)
        return {batch: counts for batch, counts in counted if counts}

    def delete(self, batch: str) -> None:
        """Delete the images and results of a batch; raises `Problem` if there never was one."""
        if not self._pool.submit(self._store.delete_batch, batch).result():
            raise no_batch(batch)
        self._hub.forget(batch)

    def look(self, batch: str, numbers: Iterable[int]) -> bool:
        """Publish what the store has of the jobs named; return whether that was anything."""
        wanted = set(numbers)
        try:
            listed = self._store.list_results(batch)
        except BatchDeleted:
            self._hub.forget(batch)
            return False
        results = self._get(batch, listed.numbers & wanted)
        for result in results:
            self._heard(result, Way.LOOK)
        lost = self._arrivals.lost(batch, wanted - listed.numbers) if listed.awaited else []
        for result in lost:
            self._hub.tell(result)
        return bool(results or lost)

    def fetch(self, jobs: Iterable[JobId], heard: Heard = nobody) -> None:
        """Publish results that are known to be in the store."""
        for result in self._pool.map(self._fetch, jobs):
            if result is not None:
                heard(result, Way.REPLY)

    def wait(self, standing: Standing, seconds: float, gone: Gone = never) -> None:
        """Add the results of the pending jobs as they arrive, for up to `seconds`.

        Args:
            gone: tells whether nobody wants them any more; asked now and then.
        """
        deadline = time.monotonic() + seconds
        with self._hub.watch(standing.batch, standing.pending) as watch:
            over = False
            while not over:
                for result in watch.arrivals(min(deadline, time.monotonic() + LOOK_S)):
                    standing.add(result)
                over = watch.complete or watch.released or time.monotonic() >= deadline or gone()

    def _list(self, batch: str) -> _Listed:
        images = self._pool.submit(self._store.image_names, batch)
        finished, expected = self._pool.submit(self._listed, batch).result()
        # A result outlives its image, and one from the inbox has no image under its batch.
        names = dict.fromkeys(finished, "") | images.result() | (expected.names if expected else {})
        if not names:
            raise no_batch(batch)
        return _Listed(names, finished, expected)

    def _listed(self, batch: str) -> tuple[set[int], Expected | None]:
        """Return which of a batch's images have a result, and what is awaited of it."""
        listed = self._store.list_results(batch)
        expected = self._arrivals.expected(batch, listed.numbers) if listed.awaited else None
        return listed.numbers, expected

    def _count(self, batch: str) -> Counts | None:
        try:
            finished, expected = self._listed(batch)
        except BatchDeleted:
            return None
        # Listed after the results: before the first of them all images are there.
        names = self._store.image_names(batch).keys() | finished
        if expected:
            names |= expected.names.keys()
        # An image that did not come may do so after all.
        absent = expected.absent if expected and expected.over else frozenset[int]()
        final = names == finished
        return Counts(len(names), len(finished | absent), final) if names else None

    def _read(self, batch: str, listed: _Listed, numbers: Iterable[int]) -> Standing:
        """Return where some of the jobs of a batch stand."""
        names = {number: listed.names[number] for number in numbers}
        results = {
            result.job.number: result for result in self._get(batch, listed.finished & names.keys())
        }
        names |= {number: result.name for number, result in results.items()}
        standing = Standing(batch, names, results)
        if listed.expected:
            standing.expect(listed.expected)
        return standing

    def _get(self, batch: str, numbers: Iterable[int]) -> list[Result]:
        jobs = [JobId(batch, number) for number in numbers]
        known = {job: self._hub.recall(job) for job in jobs}
        fetched = self._pool.map(self._fetch, [job for job in jobs if known[job] is None])
        return [result for result in (*known.values(), *fetched) if result is not None]

    def _fetch(self, job: JobId) -> Result | None:
        """Read and publish one result; None while there is none that can be understood."""
        try:
            result = self._store.get_result(job)
        except DecodeError as error:
            log.warning("result can't be read", job=str(job), reason=str(error), data=error.excerpt)
            return None
        if result is not None:
            self._hub.publish(result)
        return result


def no_job(job: JobId) -> Problem:
    """Return the problem that there is no such job."""
    return Problem(problems.NOT_FOUND, f"There is no job {job}, or it was forgotten.")


def no_batch(batch: str) -> Problem:
    """Return the problem that there is no such batch."""
    return Problem(problems.NOT_FOUND, f"There is no batch {batch}, or it was forgotten.")
