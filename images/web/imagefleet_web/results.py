"""Reads where jobs stand: from what this process heard lately, else from the store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from imagefleet_core import keys
from imagefleet_core.errors import BatchDeleted, DecodeError
from imagefleet_core.jobs import JobId, Result
from imagefleet_core.store import Store
from imagefleet_web import problems
from imagefleet_web.hub import Hub
from imagefleet_web.problems import Problem

log = structlog.get_logger()

# Results that are read at once for an answer that is sent piece by piece.
PIECE = 32


@dataclass(frozen=True, slots=True)
class Standing:
    """Where some jobs of one batch stand.

    Attributes:
        names: file names by number, for all the jobs in question.
        results: what is known of them so far, by number.
    """

    batch: str
    names: dict[int, str]
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def pending(self) -> list[int]:
        """The numbers without a result, in order."""
        return sorted(self.names.keys() - self.results.keys())

    def add(self, result: Result) -> None:
        """Take in the result of one of the jobs."""
        self.results[result.job.number] = result


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images a batch has, and how many of them have a result."""

    total: int
    finished: int


class Results:
    """Answers questions about jobs; every call to the store goes through one bounded pool."""

    def __init__(self, hub: Hub, store: Store, pool: Executor) -> None:
        self._hub = hub
        self._store = store
        self._pool = pool

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
        named = keys.parse_input_key(key) if key else None
        if named is None:
            raise no_job(job)
        return Standing(job.batch, {job.number: named[1]})

    def of_batch(self, batch: str) -> Standing:
        """Return where all jobs of a batch stand.

        Raises:
            Problem: there is no such batch.
            BatchDeleted: there is none any more.
        """
        names, listed = self._list(batch)
        return self._read(batch, names, listed)

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
        names, listed = self._list(batch)
        numbers = sorted(names)
        pieces = (numbers[i : i + PIECE] for i in range(0, len(numbers), PIECE))
        return (
            self._read(batch, {number: names[number] for number in piece}, listed & set(piece))
            for piece in pieces
        )

    def counts(self, batches: Iterable[str]) -> dict[str, Counts]:
        """Return how many images of each batch are finished; those that are gone are left out."""
        asked = {
            batch: (
                self._pool.submit(self._store.image_names, batch),
                self._pool.submit(self._store.result_numbers, batch),
            )
            for batch in batches
        }
        told = {}
        for batch, (images, results) in asked.items():
            with suppress(BatchDeleted):
                listed = results.result()
                if total := len(images.result().keys() | listed):
                    told[batch] = Counts(total, len(listed))
        return told

    def delete(self, batch: str) -> None:
        """Delete the images and results of a batch; raises `Problem` if there never was one."""
        if not self._pool.submit(self._store.delete_batch, batch).result():
            raise no_batch(batch)
        self._hub.forget(batch)

    def look(self, batch: str, numbers: Iterable[int]) -> bool:
        """Publish what the store has of the jobs named; return whether that was anything."""
        try:
            found = self._store.result_numbers(batch).intersection(numbers)
        except BatchDeleted:
            self._hub.forget(batch)
            return False
        return bool(self._get(batch, found))

    def fetch(self, jobs: Iterable[JobId]) -> None:
        """Publish results that are known to be in the store."""
        for _ in self._pool.map(self._fetch, jobs):
            pass

    def wait(self, standing: Standing, seconds: float) -> None:
        """Add the results of the pending jobs as they arrive, for up to `seconds`."""
        deadline = time.monotonic() + seconds
        with self._hub.watch(standing.batch, standing.pending) as watch:
            for result in watch.arrivals(deadline):
                standing.add(result)

    def _list(self, batch: str) -> tuple[dict[int, str], set[int]]:
        """Return a batch's names by number, as far as they are known, and who has a result."""
        images = self._pool.submit(self._store.image_names, batch)
        listed = self._pool.submit(self._store.result_numbers, batch).result()
        # A result outlives its image, and one from the inbox has no image under its batch.
        names = dict.fromkeys(listed, "") | images.result()
        if not names:
            raise no_batch(batch)
        return names, listed

    def _read(self, batch: str, names: dict[int, str], listed: Iterable[int]) -> Standing:
        results = {result.job.number: result for result in self._get(batch, listed)}
        names = names | {number: result.name for number, result in results.items()}
        return Standing(batch, names, results)

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
            log.warning("result can't be read", job=str(job), reason=str(error), data=error.data)
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
