"""Counts what one process of the web tier does."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from imagefleet_core.bounded import Bounded
from imagefleet_core.errors import BatchDeleted, Misconfigured, Unavailable
from imagefleet_core.jobs import JobId, Result
from imagefleet_web.counting.figures import Figures
from imagefleet_web.problems import Problem
from imagefleet_web.telling.ways import Way
from imagefleet_web.uploads.judging import Upload
from imagefleet_web.uploads.receiving import ReceivedFile

T = TypeVar("T")

# A result may come twice, or be found before its reply; so many are told apart, and so many
# batches known as this process's own.
REMEMBERED = 10_000


class Metrics(Figures):
    """Counts; safe to share between threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._codes = Bounded()
        self._heard = _Latest[JobId](REMEMBERED)
        self._expected = _Latest[str](REMEMBERED)
        super().__init__(self._registry)
        self.processes.set(1)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all figures and their content type, in the format that `accept` prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def gather_from(self, folder: Path) -> None:
        """Tell from now on the figures of all processes that keep theirs in a folder."""
        self._registry = CollectorRegistry()
        MultiProcessCollector(self._registry, str(folder))  # type: ignore[no-untyped-call]

    @contextmanager
    def uploading(self) -> Iterator[None]:
        """Count an upload that comes to nothing, and the files that are refused with it."""
        try:
            yield
        except Exception as error:
            self._not_accepted(error)
            raise

    def received(self, files: Iterable[ReceivedFile]) -> None:
        """Count the files of an upload, accepted or not."""
        self.received_bytes.inc(sum(file.body.size for file in files))

    def accepted(self, upload: Upload) -> None:
        """Count an upload of which at least one file was accepted."""
        if upload.replayed:
            self.uploads.labels("replayed").inc()
            return
        self.expect(upload.batch)
        self.uploads.labels("accepted").inc()
        self.images_accepted.inc(len(upload.taken))
        for refused in upload.refused:
            self.images_refused.labels(refused.problem.kind.code).inc()

    def expect(self, batch: str) -> None:
        """Take note of a batch whose results this process is to count."""
        self._expected.add(batch)

    def heard(self, result: Result, way: Way) -> None:
        """Count a result that became known; once, however often and in how many ways it does.

        What a look finds of another process's batch, that process hears of by a reply. A result of
        which no model knows is a dead letter's, counted by the process that gave it up.
        """
        if way is Way.LOOK and result.job.batch not in self._expected:
            return
        if way is not Way.DEAD_LETTER and not result.model:
            return
        if not self._heard.add(result.job):
            return
        code = self._codes(result.error.code) if result.error else ""
        self.results.labels(result.status.value, code, way.value).inc()
        if way in {Way.REPLY, Way.LOOK}:  # of others the times are not a worker's
            observe(self.queue_seconds, result.started_at - result.submitted_at)
            observe(self.process_seconds, result.finished_at - result.started_at)
        observe(self.answer_seconds, datetime.now(UTC) - result.submitted_at)

    def reply_dropped(self, reason: str) -> None:
        """Count a reply that nobody hears of; the reason is one of few."""
        self.replies_dropped.labels(reason).inc()

    def backlog_known(self, images: int) -> None:
        """Take note of the backlog as it was just told."""
        self.backlog.set(images)
        self.backlog_at.set(time.time())

    def called_aws(self, call: str, error: BaseException | None) -> None:
        """Count a call that was answered, be it with an error that is an answer, or failed."""
        match error:
            case Misconfigured():
                outcome = "misconfigured"
            case Unavailable():
                outcome = "unavailable"
            case _:
                outcome = "answered"
        self.aws_calls.labels(call, outcome).inc()

    def _not_accepted(self, error: Exception) -> None:
        refused = isinstance(error, BatchDeleted)
        if isinstance(error, Problem):
            refused = error.kind.status < HTTPStatus.INTERNAL_SERVER_ERROR
            for file in error.more.get("jobs", ()):
                self.images_refused.labels(file["error"]["code"]).inc()
        self.uploads.labels("refused" if refused else "failed").inc()


class _Latest(Generic[T]):
    """The latest of what was added, at most so many; safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[T, None] = OrderedDict()

    def add(self, one: T) -> bool:
        """Keep one; return whether it was not kept before."""
        with self._lock:
            new = one not in self._kept
            self._kept[one] = None
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return new

    def __contains__(self, one: T) -> bool:
        return one in self._kept


def observe(histogram: Histogram, duration: timedelta) -> None:
    """Observe a duration between the clocks of two hosts, which may differ a little."""
    histogram.observe(max(0.0, duration.total_seconds()))
