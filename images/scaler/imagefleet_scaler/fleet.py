"""The fleet as it is: what the provider lists, and what the workers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scaler.boots import Boots
from imagefleet_scaler.policy import Phase, Worker
from imagefleet_scaler.providers.base import Instance, InstanceState

_PHASES = {
    WorkerState.IDLE: Phase.IDLE,
    WorkerState.BUSY: Phase.BUSY,
    WorkerState.DRAINING: Phase.DRAINING,
    WorkerState.STOPPED: Phase.DRAINING,
}


@dataclass
class _Known:
    """What is remembered of one worker; times are on the scaler's own clock.

    Attributes:
        is_new: whether it was launched since this scaler began, so that its boot is seen.
        heard_at: when its last report came.
        going: whether it was seen on its way out.
        given_up: whether its boot counts as one that came to nothing.
    """

    instance: Instance
    seen_at: float
    is_new: bool
    heard_at: float = 0
    report: Report | None = None
    going: bool = False
    given_up: bool = False


class Fleet:
    """Merges the provider's list with reports, which may come late, twice and out of order.

    Nothing in here must survive: a restarted scaler hears of every worker again within seconds.

    Args:
        boots: learns how long boots take.
        lost_after_s: seconds of silence after which a worker counts as lost.
    """

    def __init__(self, *, boots: Boots, lost_after_s: float) -> None:
        self.boots = boots
        self._lost_after_s = lost_after_s
        self._known: dict[str, _Known] = {}
        self._began = False
        self._service_s: float | None = None
        self._done = 0
        self._sent_at: float | None = None

    @property
    def service_s(self) -> float | None:
        """Measured seconds one image keeps a worker busy; None before the first image."""
        return self._service_s

    @property
    def done(self) -> int:
        """Results that the workers told of, since this scaler began."""
        return self._done

    @property
    def sent_at(self) -> float | None:
        """When the newest image that any worker has had was sent, in Unix seconds."""
        return self._sent_at

    @property
    def oldest_s(self) -> float | None:
        """The age of the oldest image that a worker holds, as far as they tell."""
        reports = [known.report for known in self._known.values() if known.report]
        return max((each.oldest_s for each in reports if each.oldest_s is not None), default=None)

    def told(self, worker: str) -> Report | None:
        """Return the newest report of a worker that is there; None before the first."""
        known = self._known.get(worker)
        return known.report if known else None

    def launched(self, ids: Iterable[str], now: float) -> None:
        """Take in who was launched just now; who is not there at the next look came to nothing."""
        for worker in ids:
            instance = Instance(worker, InstanceState.RUNNING, now)
            self._known[worker] = _Known(instance, seen_at=now, is_new=True)

    def update(
        self, instances: Sequence[Instance], reports: Iterable[Report], now: float
    ) -> tuple[Worker, ...]:
        """Take in what was just listed and received; return the workers that are there."""
        listed = {instance.id: instance for instance in instances}
        for worker, known in self._known.items():
            if worker not in listed and known.report is None and not known.going:
                self._give_up(known, now)
        self._known = {
            worker: self._known.get(worker, _Known(instance, seen_at=now, is_new=self._began))
            for worker, instance in listed.items()
        }
        self._began = True
        for known in self._known.values():
            known.instance = listed[known.instance.id]
            known.going |= known.instance.state is InstanceState.STOPPING
        for report in reports:
            self._hear(report, now)
        self._measure()
        return tuple(self._worker(known, now) for known in self._known.values())

    def _hear(self, report: Report, now: float) -> None:
        known = self._known.get(report.worker)
        if known is None or (known.report and report.at <= known.report.at):
            return
        if known.report is None and known.is_new:
            self.boots.came(now - known.seen_at)
        self._done += report.done - _counted(known, report)
        if report.newest_at is not None:
            newest = report.newest_at.timestamp()
            self._sent_at = max(newest, self._sent_at or newest)
        known.report, known.heard_at = report, now

    def _give_up(self, known: _Known, now: float) -> None:
        if not known.given_up:
            known.given_up = True
            self.boots.came_to_nothing(now)

    def _measure(self) -> None:
        """Average over the images the workers there have done; keep the last figure at zero."""
        reports = [known.report for known in self._known.values() if known.report]
        done = sum(report.done for report in reports if report.service_s > 0)
        if done:
            self._service_s = sum(report.done * report.service_s for report in reports) / done

    def _worker(self, known: _Known, now: float) -> Worker:
        instance = known.instance
        phase = self._phase(known, now)
        if phase is Phase.LOST and known.report is None:
            self._give_up(known, now)
        # Our own clock where it saw the launch: those of engines may differ.
        launched_at = known.seen_at if known.is_new else min(instance.launched_at, now)
        return Worker(instance.id, phase, launched_at)

    def _phase(self, known: _Known, now: float) -> Phase:
        if known.instance.state is InstanceState.STOPPING:
            return Phase.DRAINING
        if known.report is None:
            late = now - known.seen_at > self.boots.deadline_s
            return Phase.LOST if late else Phase.BOOTING
        if now - known.heard_at > self._lost_after_s:
            return Phase.LOST
        return _PHASES[known.report.state]


def _counted(known: _Known, report: Report) -> int:
    """Return how many of the results that a worker tells of are counted already."""
    before = known.report
    if before is None:
        return 0 if known.is_new else report.done
    # One that was started anew, under the id of its instance, counts from nothing.
    return before.done if before.done <= report.done else 0
