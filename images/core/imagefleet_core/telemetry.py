"""What the scaler is told: by workers of themselves, and by the web tier of new work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imagefleet_core import fields
from imagefleet_core.errors import DecodeError
from imagefleet_core.fields import Fields

# SQS keeps no message for longer than 14 days, so nobody waits or works on one for longer.
MOST_S = 14 * 86_400.0


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Report:
    """One worker's own account, every few seconds and at each change of its state.

    Attributes:
        worker: the id its provider gave it.
        at: when the worker wrote this; reports may arrive late, twice and out of order.
        in_flight: images it holds now.
        done: results it stored since it started, failed ones included.
        service_s: mean seconds one image keeps this worker busy, 0 before the first.
        oldest_s: seconds since the oldest image it holds was asked for; None if it holds none, or
            doesn't tell.
        newest_at: when the newest image it has had was asked for; None before the first, or if it
            doesn't tell.
    """

    worker: str
    state: WorkerState
    at: datetime
    in_flight: int
    done: int
    failed: int
    service_s: float
    oldest_s: float | None = None
    newest_at: datetime | None = None

    def encode(self) -> str:
        """Write the report as JSON."""
        return fields.encode(
            {
                "worker": self.worker,
                "state": self.state,
                "at": fields.format_time(self.at),
                "in_flight": self.in_flight,
                "done": self.done,
                "failed": self.failed,
                "service_s": round(self.service_s, 6),
                "oldest_s": None if self.oldest_s is None else round(self.oldest_s, 3),
                "newest_at": self.newest_at and fields.format_time(self.newest_at),
            }
        )

    @classmethod
    def decode(cls, data: str) -> Report:
        """Read a report; raises `DecodeError`."""
        found = Fields.decode(data)
        try:
            state = WorkerState(found.text("state"))
        except ValueError as error:
            raise DecodeError(f"unknown worker state: {error}", data) from error
        return cls(
            worker=found.text("worker"),
            state=state,
            at=found.time("at"),
            in_flight=found.count("in_flight"),
            done=found.count("done"),
            failed=found.count("failed"),
            service_s=_seconds(found, "service_s"),
            oldest_s=_optional_seconds(found, "oldest_s"),
            newest_at=found.optional_time("newest_at"),
        )


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the web tier took in just now, told before the queue's counts may tell it.

    Attributes:
        images: how many were queued.
        at: when; announcements may arrive late and twice.
    """

    images: int
    at: datetime

    def encode(self) -> str:
        """Write the announcement as JSON."""
        return fields.encode({"announced": self.images, "at": fields.format_time(self.at)})

    @classmethod
    def decode(cls, data: str) -> Announcement:
        """Read an announcement; raises `DecodeError`."""
        found = Fields.decode(data)
        return cls(images=found.count("announced"), at=found.time("at"))


def _seconds(found: Fields, name: str) -> float:
    """Return a time that can be; what else a broken worker may say would spoil every sum."""
    seconds = found.number(name)
    if not 0 <= seconds <= MOST_S:
        raise DecodeError(f"field '{name}' must be from 0 to {MOST_S:.0f} seconds", found.data)
    return seconds


def _optional_seconds(found: Fields, name: str) -> float | None:
    return None if found.optional_number(name) is None else _seconds(found, name)


def decode(data: str) -> Report | Announcement:
    """Read what came by the telemetry queue; raises `DecodeError`."""
    return Announcement.decode(data) if '"announced"' in data else Report.decode(data)
