"""The scaler's account of the fleet, for whoever shows it: one object in the results bucket.

`told` gives what the HTTP API tells of it; what is stored says a little more.
"""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from datetime import datetime
from typing import Any

from imagefleet_core import fields
from imagefleet_core.fields import Fields, format_time

Json = dict[str, Any]

# At rest a report is written once a day: the scaler is known to be there, and no rule of the bucket
# takes it for forgotten.
REST_S = 24 * 3600.0

# What only the scaler and the web tier need to know.
_UNTOLD = {"fresh_s", "done"}


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What waits and what is held.

    Attributes:
        oldest_s: seconds since the oldest image that a worker holds was asked for, None where no
            worker tells. Older ones may wait, as SQS tells no message's age.
    """

    visible: int
    in_flight: int
    delayed: int
    oldest_s: float | None

    @classmethod
    def read(cls, found: Fields) -> QueueReport:
        """Read the queue; raises `DecodeError`."""
        return cls(
            visible=found.count("visible"),
            in_flight=found.count("in_flight"),
            delayed=found.count("delayed"),
            oldest_s=found.optional_number("oldest_s"),
        )


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker.

    Attributes:
        phase: booting, idle, busy, draining or lost; text, as a newer scaler may know more.
        done: results it stored, failed ones included.
        service_s: seconds one image keeps it busy, None while it does not know.
        images_per_s: results a second lately, None while nobody knows.
    """

    id: str
    phase: str
    launched_at: datetime
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    service_s: float | None = None
    images_per_s: float | None = None

    @classmethod
    def read(cls, found: Fields) -> WorkerReport:
        """Read one worker; raises `DecodeError`."""
        return cls(
            id=found.text("id"),
            phase=found.text("phase"),
            launched_at=found.time("launched_at"),
            in_flight=found.count("in_flight"),
            done=found.count("done"),
            failed=found.count("failed"),
            service_s=found.optional_number("service_s"),
            images_per_s=found.optional_number("images_per_s"),
        )


@dataclass(frozen=True, slots=True)
class DecisionReport:
    """What was decided at one time, how many were to be launched and to go, and why."""

    at: datetime
    desired: int
    launch: int
    retire: int
    why: str

    @classmethod
    def read(cls, found: Fields) -> DecisionReport:
        """Read one decision; raises `DecodeError`."""
        return cls(
            at=found.time("at"),
            desired=found.count("desired"),
            launch=found.count("launch"),
            retire=found.count("retire"),
            why=found.text("why"),
        )


@dataclass(frozen=True, slots=True)
class CostReport:
    """What the workers cost: an hour of those there are, and all of them since a time."""

    hour_usd: float
    total_usd: float
    since: datetime

    @classmethod
    def read(cls, found: Fields) -> CostReport:
        """Read the cost; raises `DecodeError`."""
        return cls(
            hour_usd=found.number("hour_usd"),
            total_usd=found.number("total_usd"),
            since=found.time("since"),
        )


@dataclass(frozen=True, slots=True)
class Point:
    """The fleet at one time of its history.

    Attributes:
        waiting: images that no worker has; `in_flight`: those that workers hold.
        workers: all there were; `ready`: those that could take work, or had some.
        done: results that workers told of since the history began, failed ones included.
    """

    at: datetime
    waiting: int
    in_flight: int
    workers: int
    ready: int
    desired: int
    done: int

    @classmethod
    def read(cls, found: Fields) -> Point:
        """Read one point; raises `DecodeError`."""
        return cls(
            at=found.time("at"),
            waiting=found.count("waiting"),
            in_flight=found.count("in_flight"),
            workers=found.count("workers"),
            ready=found.count("ready"),
            desired=found.count("desired"),
            done=found.count("done"),
        )


@dataclass(frozen=True, slots=True)
class FleetReport:
    """The fleet at one moment, and what led to it.

    Attributes:
        at: when the scaler wrote this.
        fresh_s: seconds for which this tells that the scaler is at work; the next report comes
            earlier than that. None where everything is at rest: then the next one comes when that
            ends, or after `REST_S`.
        decisions: newest first.
        cost: None where nobody said what a worker costs.
        history: oldest first; a gap in it means that nothing changed.
        done: results that workers told of since the history began.
    """

    at: datetime
    fresh_s: float | None
    queue: QueueReport
    workers: tuple[WorkerReport, ...]
    desired: int
    min_workers: int
    max_workers: int
    decisions: tuple[DecisionReport, ...]
    cost: CostReport | None
    history: tuple[Point, ...]
    done: int

    def told(self) -> Json:
        """Return the fleet as the API tells it."""
        return {name: value for name, value in _told(self).items() if name not in _UNTOLD}

    def encode(self) -> str:
        """Write the report as JSON: the object in the results bucket."""
        return fields.encode(_told(self))

    @classmethod
    def decode(cls, data: str | bytes) -> FleetReport:
        """Read a report; raises `DecodeError`."""
        found = Fields.decode(data)
        cost = found.optional_object("cost")
        return cls(
            at=found.time("at"),
            fresh_s=found.optional_number("fresh_s"),
            queue=QueueReport.read(found.object("queue")),
            workers=tuple(map(WorkerReport.read, found.objects("workers"))),
            desired=found.count("desired"),
            min_workers=found.count("min_workers"),
            max_workers=found.count("max_workers"),
            decisions=tuple(map(DecisionReport.read, found.objects("decisions"))),
            cost=CostReport.read(cost) if cost else None,
            history=tuple(map(Point.read, found.objects("history"))),
            done=found.count("done"),
        )


def _told(record: Any) -> Json:
    """Return a record's fields as JSON has them, each under its own name."""
    return {name: _plain(getattr(record, name)) for name in record.__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, tuple):
        return [_told(each) for each in value]
    return _told(value) if is_dataclass(value) else value
