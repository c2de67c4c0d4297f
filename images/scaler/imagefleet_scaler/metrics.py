"""What the scaler tells Prometheus; imported only where a port is set."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from imagefleet_core import metrics
from imagefleet_core.errors import Misconfigured, QueueMissing, Unavailable
from imagefleet_core.metrics import Endpoint
from imagefleet_scaler.meter import Meter
from imagefleet_scaler.policy import Decision, Observation, Phase
from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.settings import ScalerSettings

# They would only say when each series began, in as many series again.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX = "imagefleet_scaler"
TURN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Kinds of errors that end a turn, the more particular ones first.
KINDS = {
    Misconfigured: "misconfigured",
    Unavailable: "unavailable",
    QueueMissing: "queue_missing",
    ProviderError: "provider",
}
OTHER = "other"


class Metrics:
    """Listens to the loop."""

    def __init__(self, settings: ScalerSettings) -> None:
        self._settings = settings
        self._meter: Meter | None = None
        self.registry = registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", meaning, labels, registry=registry)

        self._backlog = gauge(
            "backlog_images",
            "Images without a result: visible (they wait), in_flight (held by workers) or delayed.",
            "state",
        )
        self._workers = gauge("workers", "Workers by phase; all phases are always told.", "phase")
        self._desired = gauge("desired_workers", "Workers there should be, by the last decision.")
        gauge("min_workers", "The smallest fleet, a setting.").set(settings.min_workers)
        gauge("max_workers", "The largest fleet, a setting.").set(settings.max_workers)
        self._launches = counter("launches", "Workers that were launched.")
        self._retirements = counter("retirements", "Workers that were asked to go.")
        self._failed = counter(
            "failed_turns",
            "Turns that failed, by kind of error: misconfigured, unavailable or queue_missing "
            "(AWS), provider, other.",
            "kind",
        )
        self._seconds = Histogram(
            f"{PREFIX}_turn_duration_seconds",
            "Seconds a turn took, failed ones included.",
            buckets=TURN_BUCKETS,
            registry=registry,
        )
        self._turned_at = gauge(
            "last_turn_timestamp_seconds", "When the last turn that went well began, in Unix time."
        )
        self._service = gauge(
            "service_seconds",
            "Seconds one image keeps a worker busy, over all workers; 0 until measured.",
        )
        self._cost = counter(
            "cost_usd",
            "US dollars the fleet has cost since this scaler began, estimated from "
            "IMAGEFLEET_WORKER_USD_PER_HOUR; 0 without it.",
        )
        self._hourly = gauge(
            "hourly_cost_usd", "US dollars an hour that the fleet costs as it is; 0 likewise."
        )
        for kind in (*KINDS.values(), OTHER):
            self._failed.labels(kind)
        for phase in Phase:
            self._workers.labels(phase.value)

    def on_turn(self, observation: Observation, decision: Decision) -> None:
        """Take in a turn that went well."""
        for state in ("visible", "in_flight", "delayed"):
            self._backlog.labels(state).set(getattr(observation, state))
        for phase in Phase:
            self._workers.labels(phase.value).set(len(observation.ids({phase})))
        self._desired.set(decision.desired)
        self._launches.inc(decision.launch)
        self._retirements.inc(len(decision.retire))
        self._turned_at.set(decision.at)
        self._service.set(observation.service_s or 0)
        self._count_cost(observation, decision.at)

    def on_end(self, seconds: float, error: Exception | None) -> None:
        """Take in how long a turn took, and what it failed with."""
        self._seconds.observe(seconds)
        if error is not None:
            kinds = (kind for each, kind in KINDS.items() if isinstance(error, each))
            self._failed.labels(next(kinds, OTHER)).inc()

    def serve(self) -> Endpoint | None:
        """Tell the figures at the port of the settings; None where nobody can listen there."""
        return metrics.serve(
            self.registry, self._settings.metrics_host, self._settings.metrics_port
        )

    def _count_cost(self, observation: Observation, now: float) -> None:
        workers = observation.workers
        if self._meter is None:  # what those there have cost, the scaler before has counted
            billed = {worker.id: (worker.launched_at, now) for worker in workers}
            self._meter = Meter(self._settings.usd_per_hour, billed=billed)
        before = self._meter.total_usd
        self._meter.update(workers, now)
        self._cost.inc(self._meter.total_usd - before)
        self._hourly.set(self._meter.hour_usd(len(workers)))
