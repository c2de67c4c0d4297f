"""The fleet as it is: what the provider lists, and what the workers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

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
# However long it was silent: a worker reports within a few looks.
LOOKS_BEFORE_LOST = 4
# By no more is a host's clock ahead of another's, unless it is wrong or somebody lies.
AHEAD_S = 30.0


@dataclass
class _Known:
    """What is remembered of one worker.

    Attributes:
        seen_at: when it was launched or first seen, in Unix seconds.
        is_new: whether it was launched since this scaler began, so that its boot is seen.
        heard_at: when its last report came, or before that when it was first seen; in seconds of
            the fleet's own clock.
        was_up: whether it is so much older than this scaler that its boot must be over.
        retired: whether this scaler sent it away.
        given_up: whether its boot counts as one that came to nothing.
    """

    instance: Instance
    seen_at: float
    is_new: bool
    heard_at: float
    was_up: bool = False
    report: Report | None = None
    retired: bool = False
    given_up: bool = False

    @property
    def is_missed(self) -> bool:
        """Whether it came to nothing, if it is not there any more.

        One whose launch was before this scaler's time may have worked, and gone when that was done.
        """
        silent = self.report is None and not self.instance.expected
        return silent and self.is_new and not self.retired


class Fleet:
    """Merges the provider's list with reports, which may come late, twice and out of order.

    Nothing in here must survive: a restarted scaler hears of every worker again within seconds.
    Silence tells nothing while nobody listened (a suspended laptop, an outage, a clock that
    jumped), so it is measured on a clock that moves with the looks, and by one look never far.

    Args:
        boots: learns how long boots take.
        lost_after_s: seconds of silence after which a worker counts as lost.
    """

    def __init__(self, *, boots: Boots, lost_after_s: float) -> None:
        self.boots = boots
        self._lost_after_s = lost_after_s
        self._known: dict[str, _Known] = {}
        self._began = False
        self._clock = 0.0
        self._looked_at = float("inf")
        self._service_s: float | None = None
        self._measured = 0
        self._done = 0
        self._sent_at: float | None = None

    @property
    def service_s(self) -> float | None:
        """Measured seconds one image keeps a worker busy; None before the first image."""
        return self._service_s

    @property
    def measured(self) -> int:
        """How many images that was measured on."""
        return self._measured

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
            self._known[worker] = _Known(instance, now, True, self._clock)

    def retired(self, ids: Iterable[str]) -> None:
        """Take in who was sent away: that those go tells nothing of their boots."""
        for worker in ids:
            if worker in self._known:
                self._known[worker].retired = True

    def update(
        self, instances: Sequence[Instance], reports: Iterable[Report], now: float
    ) -> tuple[Worker, ...]:
        """Take in what was just listed and received; return the workers that are there."""
        listed = {instance.id: instance for instance in instances}
        self._pass_time(now)
        for worker, instance in listed.items():
            if worker not in self._known:
                self._known[worker] = self._found(instance, now)
            self._known[worker].instance = instance
        self._began = True
        for report in reports:  # the last ones of workers that are gone by now, too
            self._hear(report, now)
        for worker, known in self._known.items():
            if worker not in listed and known.is_missed:
                self._give_up(known, now)
        self._known = {worker: self._known[worker] for worker in listed}
        self._measure()
        # Those that were launched together are given up together.
        deadline_s = self.boots.deadline_s
        return tuple(self._worker(known, now, deadline_s) for known in self._known.values())

    def _pass_time(self, now: float) -> None:
        """Move the fleet's clock, and take back launches that lie in the future since a jump."""
        step = max(0.0, now - self._looked_at)
        self._clock += min(step, self._lost_after_s / LOOKS_BEFORE_LOST)
        self._looked_at = now
        for known in self._known.values():
            known.seen_at = min(known.seen_at, now)

    def _found(self, instance: Instance, now: float) -> _Known:
        was_up = not self._began and now - instance.launched_at > self.boots.deadline_s
        return _Known(instance, now, self._began, self._clock, was_up)

    def _hear(self, report: Report, now: float) -> None:
        known = self._known.get(report.worker)
        if report.at.timestamp() > now + AHEAD_S:
            # Else it would outdate all that this worker says until then.
            report = replace(report, at=datetime.fromtimestamp(now, UTC))
        if known is None or (known.report and report.at <= known.report.at):
            return
        if known.report is None and known.is_new:
            self.boots.came(known.seen_at, self._clock - known.heard_at)
        self._done += report.done - _counted(known, report)
        if report.newest_at is not None:
            newest = report.newest_at.timestamp()
            self._sent_at = max(newest, self._sent_at or newest)
        known.report, known.heard_at = report, self._clock

    def _give_up(self, known: _Known, now: float) -> None:
        # One that is only expected may come by another id.
        if not (known.given_up or known.was_up or known.instance.expected):
            known.given_up = True
            self.boots.came_to_nothing(known.seen_at, now)

    def _measure(self) -> None:
        """Average over the images the workers there have done; keep the last figure at zero."""
        reports = [known.report for known in self._known.values() if known.report]
        done = sum(report.done for report in reports if report.service_s > 0)
        if done:
            self._measured = done
            self._service_s = sum(report.done * report.service_s for report in reports) / done

    def _worker(self, known: _Known, now: float, deadline_s: float) -> Worker:
        instance = known.instance
        phase = self._phase(known, deadline_s)
        if phase is Phase.LOST and known.report is None:
            self._give_up(known, now)
        # Our own clock where it saw the launch: those of engines may differ.
        launched_at = known.seen_at if known.is_new else min(instance.launched_at, now)
        return Worker(instance.id, phase, launched_at, instance.outdated)

    def _phase(self, known: _Known, deadline_s: float) -> Phase:
        silent_s = self._clock - known.heard_at
        if known.instance.state is InstanceState.STOPPING:
            return Phase.DRAINING
        if known.report is None and not known.was_up:
            return Phase.LOST if silent_s > deadline_s else Phase.BOOTING
        if silent_s > self._lost_after_s:
            return Phase.LOST
        # One that was not heard yet is not to be replaced, nor retired.
        return _PHASES[known.report.state] if known.report else Phase.BUSY


def _counted(known: _Known, report: Report) -> int:
    """Return how many of the results that a worker tells of are counted already."""
    before = known.report
    if before is None:
        return 0 if known.is_new else report.done
    # One that was started anew, under the id of its instance, counts from nothing.
    return before.done if before.done <= report.done else 0
