"""What a worker tells Prometheus: read when it asks, from what the worker counts anyway.

Imported only where a port is set, and after the worker is ready.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from imagefleet_core import metrics
from imagefleet_core.metrics import Endpoint
from imagefleet_worker.children.decoders import Decoders
from imagefleet_worker.children.runners import Runner
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.worker import Worker

PREFIX = "imagefleet_worker"


def serve(
    settings: WorkerSettings, worker: Worker, decoders: Decoders, runner: Runner
) -> Endpoint | None:
    """Tell a worker's figures at the port of the settings; None where nobody can listen there."""
    registry = CollectorRegistry()
    registry.register(Figures(worker, decoders, runner))
    return metrics.serve(registry, settings.metrics_host, settings.metrics_port)


class Figures(Collector):
    """All figures of one worker, as they are at this moment."""

    def __init__(self, worker: Worker, decoders: Decoders, runner: Runner) -> None:
        self._worker = worker
        self._decoders = decoders
        self._runner = runner

    def describe(self) -> list[Metric]:
        """Name nothing: the registry has no other collector that names could clash with."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the figures."""
        yield self._results()
        yield from self._images()
        yield from self._stages()
        yield from self._memory()
        yield self._restarts()

    def _results(self) -> Metric:
        results = _counter(
            "results",
            "Results that were stored, by status and code of error (empty if done).",
            ["status", "code"],
        )
        done, failed = self._worker.tally.by_code()
        results.add_metric(["done", ""], done)
        for code, count in failed.items():
            results.add_metric(["failed", code], count)
        return results

    def _images(self) -> Iterator[Metric]:
        worker = self._worker
        yield _gauge("held_images", "Images it holds now.", worker.leases.held())
        yield _gauge("held_images_limit", "Images it would hold at most.", worker.most_held())
        yield _gauge(
            "service_seconds",
            "Seconds one image keeps it busy, lately; 0 before the first.",
            worker.reporter.service_s(),
        )
        yield _gauge("draining", "1 if it takes no more and ends soon.", worker.draining)
        yield _gauge(
            "under_pressure",
            "1 if it takes no more until memory or disk are free again.",
            bool(worker.pressure.reason()),
        )

    def _stages(self) -> Iterator[Metric]:
        busy = _counter(
            "stage_busy_seconds", "Seconds the threads of each stage were at work.", ["stage"]
        )
        handled = _counter(
            "stage_images", "Images each stage has worked on, repeated tries included.", ["stage"]
        )
        threads = _gauges("stage_threads", "Threads of each stage.", ["stage"])
        waiting = _gauges("stage_waiting_images", "Images that wait for each stage.", ["stage"])
        for stage in self._worker.pipeline.stages:
            label = [stage.name.partition(" ")[0]]
            busy.add_metric(label, stage.load_s() * stage.threads)
            handled.add_metric(label, stage.handled())
            threads.add_metric(label, stage.threads)
            waiting.add_metric(label, stage.waiting())
        yield from (busy, handled, threads, waiting)

    def _memory(self) -> Iterator[Metric]:
        used = _gauges("memory_used_bytes", "Memory that images have taken, by use.", ["use"])
        limit = _gauges(
            "memory_limit_bytes",
            "Memory that images may take: files that wait to be decoded, decoding (of pictures "
            "that need more than each decoder has), and pixels that wait for the network.",
            ["use"],
        )
        uses = self._worker.pipeline.memory() | {
            "decoding": (self._decoders.used(), self._decoders.limit())
        }
        for use, (taken, most) in uses.items():
            used.add_metric([use], taken)
            limit.add_metric([use], most)
        yield from (used, limit)

    def _restarts(self) -> Metric:
        restarts = _counter(
            "child_restarts", "Processes that followed one that ended, by kind.", ["child"]
        )
        restarts.add_metric(["decoder"], self._decoders.restarts())
        restarts.add_metric(["processor"], self._runner.restarts())
        return restarts


def _counter(name: str, meaning: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", meaning, labels=labels)


def _gauges(name: str, meaning: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", meaning, labels=labels)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", meaning, value)
