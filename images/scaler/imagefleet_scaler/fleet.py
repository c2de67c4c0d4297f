"""The fleet as it is: what the provider lists, and what the workers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imagefleet_core.telemetry import Report, WorkerState
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
    """What is remembered of one worker; `heard_at` and `seen_at` are on the scaler's own clock."""

    seen_at: float
    heard_at: float = 0
    report: Report | None = None


class Fleet:
    """Merges the provider's list with reports, which may come late, twice and out of order.

    Nothing in here must survive: a restarted scaler hears of every worker again within seconds.

    Args:
        boot_s: seconds a launched worker may take until its first report.
        lost_after_s: seconds of silence after which a worker counts as lost.
    """

    def __init__(self, *, boot_s: float, lost_after_s: float) -> None:
        self._boot_s = boot_s
        self._lost_after_s = lost_after_s
        self._known: dict[str, _Known] = {}
        self._service_s: float | None = None

    @property
    def service_s(self) -> float | None:
        """Measured seconds one image keeps a worker busy; None before the first image."""
        return self._service_s

    def told(self, worker: str) -> Report | None:
        """Return the newest report of a worker that is there; None before the first."""
        known = self._known.get(worker)
        return known.report if known else None

    def update(
        self, instances: Sequence[Instance], reports: Iterable[Report], now: float
    ) -> tuple[Worker, ...]:
        """Take in what was just listed and received; return the workers that are there."""
        self._known = {
            instance.id: self._known.get(instance.id, _Known(seen_at=now)) for instance in instances
        }
        for report in reports:
            self._hear(report, now)
        self._measure()
        return tuple(
            Worker(instance.id, self._phase(instance, now), instance.launched_at)
            for instance in instances
        )

    def _hear(self, report: Report, now: float) -> None:
        known = self._known.get(report.worker)
        if known and (known.report is None or report.at > known.report.at):
            known.report, known.heard_at = report, now

    def _measure(self) -> None:
        """Average over the images the workers there have done; keep the last figure at zero."""
        reports = [known.report for known in self._known.values() if known.report]
        done = sum(report.done for report in reports if report.service_s > 0)
        if done:
            self._service_s = sum(report.done * report.service_s for report in reports) / done

    def _phase(self, instance: Instance, now: float) -> Phase:
        known = self._known[instance.id]
        if instance.state is InstanceState.STOPPING:
            return Phase.DRAINING
        if known.report is None:
            return Phase.LOST if now - known.seen_at > self._boot_s else Phase.BOOTING
        if now - known.heard_at > self._lost_after_s:
            return Phase.LOST
        return _PHASES[known.report.state]
