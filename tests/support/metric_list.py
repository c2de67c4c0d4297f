"""Every metric of every tier, as its code declares it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from imagefleet_scaler.metrics import Metrics as ScalerMetrics
from imagefleet_scaler.settings import ScalerSettings
from imagefleet_web.counting.metrics import Metrics as WebMetrics
from imagefleet_worker.children.decoders import Decoders
from imagefleet_worker.children.runners import Runner
from imagefleet_worker.metrics import Figures
from worker_tier import Tier

# What the series of each type are called, and the labels they have of their own.
_SERIES: dict[str, dict[str, tuple[str, ...]]] = {
    "counter": {"_total": ()},
    "gauge": {"": ()},
    "histogram": {"_bucket": ("le",), "_sum": (), "_count": ()},
}


@dataclass(frozen=True)
class Described:
    """One metric.

    Attributes:
        name: as a person looks for it; with `_total` if it is a counter.
        meaning: what it says of itself.
    """

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> dict[str, set[str]]:
        """The names of its series, and the labels of each."""
        base = self.name.removesuffix("_total")
        return {base + suffix: {*self.labels, *own} for suffix, own in _SERIES[self.type].items()}


def all_metrics() -> list[Described]:
    """Return every metric there is, tier by tier."""
    workers = CollectorRegistry()
    with tempfile.TemporaryDirectory() as folder:
        workers.register(
            Figures(
                Tier(Path(folder)).worker(),
                Decoders(count=1, max_pixels=1, limit_s=1, memory_bytes=1),
                Runner(limit_s=1),
            )
        )
        registries = WebMetrics()._registry, ScalerMetrics(ScalerSettings()).registry, workers
        return [metric for registry in registries for metric in _described(registry)]


def _described(registry: CollectorRegistry) -> Iterator[Described]:
    for collector in list(registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):  # whose labels a sample without any hides
            (family,) = collector.describe()
            yield _one(family.name, family.type, collector._labelnames, family.documentation)
        else:
            for family in collector.collect():
                labels = getattr(family, "_labelnames", ())
                yield _one(family.name, family.type, labels, family.documentation)


def _one(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> Described:
    return Described(name + ("_total" if kind == "counter" else ""), kind, tuple(labels), meaning)
