"""The fleet as the API tells it: as one object, or as server-sent events while it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import cast

from imagefleet_core.fields import format_time
from imagefleet_core.fleet import Point
from imagefleet_web import sse
from imagefleet_web.scaling.fleet import Fleet, Sight
from imagefleet_web.scaling.fleet_objects import FleetObject

UNHEARD: FleetObject = {
    "at": None,
    "live": False,
    "queue": {"visible": 0, "in_flight": 0, "delayed": 0, "oldest_s": None},
    "workers": [],
    "desired": 0,
    "min_workers": 0,
    "max_workers": 0,
    "decisions": [],
    "cost": None,
    "history": [],
}


def shape(sight: Sight, after: datetime | None = None) -> FleetObject:
    """Return the fleet's object, of its history only what came after a time."""
    report = sight.report
    if report is None:
        return UNHEARD
    newer = replace(report, history=_newer(report.history, after))
    return cast(FleetObject, {"at": None, "live": sight.live, **newer.told()})


def stream(
    fleet: Fleet, sight: Sight, last_id: str = "", heartbeat_s: float = sse.HEARTBEAT_S
) -> Iterator[str]:
    """Yield the fleet as it is seen now, then whenever it changes; it ends with the process.

    Args:
        last_id: the id of the last event that the client has; history up to it is left out.
    """
    after = _parse(last_id)
    yield sse.RETRY
    with fleet.watched():
        while True:
            newest = _newest(sight)
            yield sse.event("fleet", shape(sight, after), format_time(newest) if newest else "")
            after = newest or after
            while (seen := fleet.news(sight, heartbeat_s)) is sight:
                yield sse.ALIVE
            if seen is None:
                return
            sight = seen


def _newest(sight: Sight) -> datetime | None:
    """Return the time of the last point in the history."""
    return sight.report.history[-1].at if sight.report and sight.report.history else None


def _newer(history: tuple[Point, ...], after: datetime | None) -> tuple[Point, ...]:
    """Return the points after a time; all of them if it is later than any: the clock went back."""
    if after is None or not history or history[-1].at < after:
        return history
    return tuple(point for point in history if point.at > after)


def _parse(last_id: str) -> datetime | None:
    """Return the time in an id of ours, None for any other text."""
    try:
        at = datetime.fromisoformat(last_id)
    except ValueError:
        return None
    return at if at.tzinfo else None
