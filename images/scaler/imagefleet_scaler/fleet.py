"""The fleet as it is: what the provider lists, and what the workers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from imagefleet_core.telemetry import Report
from imagefleet_scaler.boots import Boots
from imagefleet_scaler.known import AHEAD_S, Known
from imagefleet_scaler.policy import Phase, Worker
from imagefleet_scaler.providers.base import Instance, InstanceState

# However long it was silent: a worker reports within a few looks.
LOOKS_BEFORE_LOST = 4


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
        self._known: dict[str, Known] = {}
        self._clock = 0.0
        self._looked_at = float("inf")
        self._missed: tuple[str, ...] = ()
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

    @property
    def missed(self) -> tuple[str, ...]:
        """Who was launched, and gone at the last look without ever having told anything."""
        return self._missed

    def told(self, worker: str) -> Report | None:
        """Return the newest report of a worker that is there; None before the first."""
        known = self._known.get(worker)
        return known.report if known else None

    def launched(self, ids: Iterable[str], now: float) -> None:
        """Take in who was launched just now; who is not there at the next look came to nothing."""
        for worker in ids:
            instance = Instance(worker, InstanceState.RUNNING, now)
            self._known[worker] = Known(instance, now, True, self._clock)

    def retired(self, ids: Iterable[str]) -> None:
        """Take in who was sent away: that those go tells nothing of their boots."""
        for worker in ids:
            if worker in self._known:
                self._known[worker].retired = True

    def forget(self) -> None:
        """Believe nothing of who is there, as another scaler may have acted meanwhile.

        What was learned of boots and images stays true.
        """
        self._known = {}
        self._missed = ()

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
        for report in reports:  # the last ones of workers that are gone by now, too
            self._hear(report, now)
        gone = [known for worker, known in self._known.items() if worker not in listed]
        missed = [known for known in gone if known.is_missed]
        for known in missed:
            self._give_up(known, now)
        self._missed = tuple(known.instance.id for known in missed)
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

    def _found(self, instance: Instance, now: float) -> Known:
        was_up = now - instance.launched_at > self.boots.deadline_s
        return Known(instance, now, False, self._clock, was_up)

    def _hear(self, report: Report, now: float) -> None:
        known = self._known.get(report.worker)
        if report.at.timestamp() > now + AHEAD_S:
            # Else it would outdate all that this worker says until then.
            report = replace(report, at=datetime.fromtimestamp(now, UTC))
        if known is None or not known.is_news(report):
            return
        if known.report is None and known.is_new:
            self.boots.came(known.seen_at, self._clock - known.heard_at)
        self._done += report.done - known.counted(report)
        if report.newest_at is not None:
            newest = report.newest_at.timestamp()
            self._sent_at = max(newest, self._sent_at or newest)
        known.report, known.heard_at = report, self._clock

    def _give_up(self, known: Known, now: float) -> None:
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

    def _worker(self, known: Known, now: float, deadline_s: float) -> Worker:
        instance = known.instance
        phase = known.phase(
            self._clock - known.heard_at, deadline_s=deadline_s, lost_after_s=self._lost_after_s
        )
        if phase is Phase.LOST and known.report is None:
            self._give_up(known, now)
        # Our own clock where it saw the launch: those of engines may differ.
        launched_at = known.seen_at if known.is_new else min(instance.launched_at, now)
        return Worker(instance.id, phase, launched_at, instance.outdated)
