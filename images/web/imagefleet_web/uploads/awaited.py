"""Images that clients upload to the bucket themselves: which are awaited, and which never came.

A note in the results bucket, under the batch's own prefix, is written with the forms. So the batch
is known before anything of it has come, any process can tell of it, and it is listed, deleted and
forgotten with the batch's results. That an image did not come is seen by looking, and nothing is
written of it: should it come late after all, it counts.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

import structlog

from imagefleet_core import fields, keys
from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import Failure, JobId, Result
from imagefleet_core.store import Store
from imagefleet_web.ids import made_at

log = structlog.get_logger()

# Clocks of hosts differ, and what S3 took in time may have been on its way for a moment.
GRACE_S = 5.0
# Notes that are kept in memory, as they never change; of 100 names each has some kilobytes.
REMEMBERED = 1000

NOT_UPLOADED = Failure("not_uploaded", "The image was not uploaded before its form expired.")


@dataclass(frozen=True, slots=True)
class Awaited:
    """What the note says.

    Attributes:
        names: the file names of all images of the batch, by number.
        until: when the forms expire.
    """

    names: dict[int, str]
    until: datetime

    def encode(self) -> bytes:
        """Write it as JSON."""
        files = [{"number": number, "name": name} for number, name in self.names.items()]
        told = {"until": fields.format_time(self.until), "files": files}
        return fields.encode(told).encode()

    @classmethod
    def decode(cls, data: bytes) -> Awaited:
        """Read it; raises `DecodeError`."""
        read = fields.Fields.decode(data)
        names = {each.count("number"): each.text("name") for each in read.objects("files")}
        return cls(names, read.time("until"))


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of the images that a batch awaits, or awaited.

    Attributes:
        names: the file names of all of them, by number.
        absent: the numbers of those that are not there and have no result.
        until: when their forms expire.
        over: whether the absent ones are not awaited any more.
    """

    names: dict[int, str]
    absent: frozenset[int]
    until: datetime
    over: bool


class Arrivals:
    """Tells which awaited images came; makes its calls in the caller's own thread."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._lock = Lock()
        self._notes: OrderedDict[str, Awaited] = OrderedDict()

    def expected(self, batch: str, finished: set[int]) -> Expected | None:
        """Return what is known of a batch's awaited images, None where none are noted.

        Args:
            finished: the numbers of those that have a result.
        """
        awaited = self._awaited(batch)
        if awaited is None:
            return None
        open_ = awaited.names.keys() - finished
        absent = open_ - self._store.inbox_numbers(batch) if open_ else open_
        return Expected(awaited.names, frozenset(absent), awaited.until, self._over(awaited))

    def lost(self, batch: str, numbers: set[int]) -> list[Result]:
        """Return what is told of those images that did not come and are awaited no more."""
        awaited = self._awaited(batch)
        if awaited is None or not self._over(awaited):
            return []
        absent = (awaited.names.keys() & numbers) - self._store.inbox_numbers(batch)
        return [
            not_uploaded(JobId(batch, number), awaited.names[number], awaited.until)
            for number in sorted(absent)
        ]

    def _over(self, awaited: Awaited) -> bool:
        return self._clock() > awaited.until.timestamp() + GRACE_S

    def _awaited(self, batch: str) -> Awaited | None:
        with self._lock:
            if known := self._notes.get(batch):
                return known
        note = self._store.read_note(keys.awaited_key(batch))
        if note is None:
            return None
        try:
            awaited = Awaited.decode(note.body)
        except DecodeError as error:
            log.warning("note can't be read", batch=batch, reason=str(error), data=error.data)
            return None
        with self._lock:
            self._notes[batch] = awaited
            if len(self._notes) > REMEMBERED:
                self._notes.popitem(last=False)
        return awaited


def not_uploaded(job: JobId, name: str, until: datetime) -> Result:
    """Return what is told of an image that did not come; it is stored nowhere."""
    return Result(
        job=job,
        name=name,
        top=(),
        error=NOT_UPLOADED,
        model="",
        worker="",
        submitted_at=made_at(job.batch) or datetime.now(UTC),
        started_at=until,
        finished_at=until,
    )
