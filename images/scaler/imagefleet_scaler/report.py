"""The account of the fleet from turn to turn, and the report that is made of it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from imagefleet_core.fleet import (
    CostReport,
    DecisionReport,
    FleetReport,
    Point,
    QueueReport,
    WorkerReport,
)
from imagefleet_core.telemetry import Report
from imagefleet_scaler.meter import Meter
from imagefleet_scaler.policy import READY, Decision, Observation, Phase, Worker
from imagefleet_scaler.progress import Progress

DECISIONS = 20
# Half an hour of points at the least.
POINTS = 360
POINT_S = 5.0

_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")
_PLURAL = re.compile(r"(?<=\w\w\w)s\b")


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the loop, and the newest report of each worker that told something."""

    observation: Observation
    decision: Decision
    reports: Mapping[str, Report]

    @property
    def at(self) -> datetime:
        """When it was."""
        return _moment(self.decision.at)

    @property
    def rests(self) -> bool:
        """Whether there is nothing to do and nobody to do it."""
        return not self.observation.workers and not self.observation.backlog


class Account:
    """Takes turns in and tells of the fleet; for one thread.

    Args:
        before: the last report of the scaler that was here before, whose account goes on.
        usd_per_hour: what a worker costs, 0 where no cost is to be told.
        fresh_s: the seconds in which the next report comes while anything goes on.
    """

    def __init__(
        self,
        before: FleetReport | None,
        *,
        min_workers: int,
        max_workers: int,
        usd_per_hour: float,
        fresh_s: float,
    ) -> None:
        self._min_workers, self._max_workers = min_workers, max_workers
        self._usd_per_hour = usd_per_hour
        self._fresh_s = fresh_s
        self._decisions = deque(before.decisions if before else (), DECISIONS)
        self._history = deque(before.history if before else (), POINTS)
        self._progress = _progress_after(before)
        self._meter = _meter_after(before, usd_per_hour)
        self._since = before.cost.since if before and before.cost else None
        self._turn: Turn | None = None

    def add(self, turn: Turn) -> None:
        """Take in a turn."""
        seen = turn.observation
        self._progress.update(turn.reports, {worker.id for worker in seen.workers})
        self._meter.update(seen.workers, turn.decision.at)
        self._since = self._since or turn.at
        self._note_decision(turn)
        self._note_point(turn)
        self._turn = turn

    def report(self) -> FleetReport | None:
        """Tell of the fleet as the last turn saw it; None before the first."""
        if self._turn is None:
            return None
        turn, seen = self._turn, self._turn.observation
        return FleetReport(
            at=turn.at,
            fresh_s=None if turn.rests else self._fresh_s,
            queue=_queue(turn),
            workers=tuple(self._worker(each, turn.reports.get(each.id)) for each in seen.workers),
            desired=turn.decision.desired,
            min_workers=self._min_workers,
            max_workers=self._max_workers,
            decisions=tuple(self._decisions),
            cost=self._cost(len(seen.workers)),
            history=tuple(self._history),
            done=self._progress.done,
        )

    def _note_decision(self, turn: Turn) -> None:
        """Keep a decision that changes the fleet, or is made for a reason of another kind."""
        made = turn.decision
        told = DecisionReport(turn.at, made.desired, made.launch, len(made.retire), made.why)
        last = self._decisions[0] if self._decisions else None
        if told.launch or told.retire or last is None or _kind(told.why) != _kind(last.why):
            self._decisions.appendleft(told)

    def _note_point(self, turn: Turn) -> None:
        """Keep a point now and then while things change, and at once when all comes to rest."""
        seen = turn.observation
        point = Point(
            at=turn.at,
            waiting=seen.visible + seen.delayed,
            in_flight=seen.in_flight,
            workers=len(seen.workers),
            ready=seen.count(READY),
            desired=turn.decision.desired,
            done=self._progress.done,
        )
        while self._history and self._history[-1].at > point.at:  # the clock went back
            self._history.pop()
        if self._history:
            last = self._history[-1]
            soon = (point.at - last.at).total_seconds() < POINT_S and not turn.rests
            if soon or point == replace(last, at=point.at):
                return
        self._history.append(point)

    def _worker(self, worker: Worker, report: Report | None) -> WorkerReport:
        told = WorkerReport(worker.id, worker.phase, _moment(worker.launched_at))
        if report is None:
            return told
        rate = None if worker.phase is Phase.LOST else self._progress.rate(worker.id)
        return replace(
            told,
            in_flight=report.in_flight,
            done=report.done,
            failed=report.failed,
            service_s=round(report.service_s, 6) or None,
            images_per_s=None if rate is None else round(rate, 2),
        )

    def _cost(self, workers: int) -> CostReport | None:
        if not self._usd_per_hour or self._since is None:
            return None
        hour_usd = round(self._meter.hour_usd(workers), 6)
        return CostReport(hour_usd, round(self._meter.total_usd, 6), self._since)


def _queue(turn: Turn) -> QueueReport:
    ages = [each.oldest_s for each in turn.reports.values() if each.oldest_s is not None]
    seen = turn.observation
    return QueueReport(
        visible=seen.visible,
        in_flight=seen.in_flight,
        delayed=seen.delayed,
        oldest_s=max(ages, default=None) if seen.backlog else None,
    )


def _progress_after(before: FleetReport | None) -> Progress:
    if before is None:
        return Progress()
    return Progress(before.done, {each.id: each.done for each in before.workers})


def _meter_after(before: FleetReport | None, usd_per_hour: float) -> Meter:
    if before is None or before.cost is None:
        return Meter(usd_per_hour)
    seen_at = before.at.timestamp()
    billed = {each.id: (each.launched_at.timestamp(), seen_at) for each in before.workers}
    return Meter(usd_per_hour, before.cost.total_usd, billed)


def _kind(why: str) -> str:
    """Return a reason without what differs from turn to turn: its numbers, and so its plurals."""
    return _PLURAL.sub("", _NUMBER.sub("#", why.replace(" are ", " is ")))


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
