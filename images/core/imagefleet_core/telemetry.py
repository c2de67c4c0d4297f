"""What a worker says of itself to the scaler, every few seconds and at each change of state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imagefleet_core import fields
from imagefleet_core.errors import DecodeError
from imagefleet_core.fields import Fields


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Report:
    """One worker's own account.

    Attributes:
        worker: the id its provider gave it.
        at: when the worker wrote this; reports may arrive late, twice and out of order.
        in_flight: images it holds now.
        done: results it stored since it started, failed ones included.
        service_s: mean seconds one image keeps this worker busy, 0 before the first.
        oldest_s: seconds since the oldest image it holds was asked for; None if it holds none, or
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
            service_s=found.number("service_s"),
            oldest_s=found.optional_number("oldest_s"),
        )
