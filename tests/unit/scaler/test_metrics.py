"""What the scaler tells Prometheus."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client import generate_latest

from fake_provider import FakeProvider, Machines
from fakes import MemoryQueues
from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scaler.boots import Boots
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.loop import Loop
from imagefleet_scaler.metrics import Metrics
from imagefleet_scaler.providers.base import METRICS_PORT, ProviderError
from imagefleet_scaler.providers.choose import choose_provider
from imagefleet_scaler.settings import ScalerSettings
from imagefleet_scaler.telemetry import Telemetry
from imagefleet_scripts.emulator import free_port
from scraped import Scraped, scraped
from system import wait_for

PHASES = {"booting", "idle", "busy", "draining", "lost"}


class System:
    """A scaler on fakes and what it tells, on a clock that the test moves."""

    def __init__(self, **settings: Any) -> None:
        fixed = {"max_workers": 5, "target_s": 10, "service_s": 1, "scale_in_after_s": 60}
        self.settings = ScalerSettings(**{**fixed, **settings})
        self.now = 1_800_000_000.0
        self.machines = Machines()
        self.provider = FakeProvider(self.machines)
        queues = MemoryQueues(clock=lambda: self.now)
        self.requests = queues.add("requests")
        self.telemetry = queues.add("telemetry")
        self.begin()

    def begin(self) -> None:
        """Begin, or begin again after an end."""
        self.metrics = Metrics(self.settings)
        self.loop = Loop(
            requests=self.requests,
            telemetry=Telemetry(self.telemetry),
            provider=self.provider,
            fleet=Fleet(boots=Boots(120), lost_after_s=60),
            config=self.settings.policy,
            listeners=[self.metrics.on_turn],
            on_end=self.metrics.on_end,
        )

    def turn(self, after_s: float = 2) -> None:
        self.now += after_s
        self.machines.now = self.now
        self.loop.turn(self.now)

    def report(self, worker: str, state: WorkerState, service_s: float = 0) -> None:
        at = datetime.fromtimestamp(self.now, UTC)
        self.telemetry.send([Report(worker, state, at, 0, 10, 0, service_s).encode()])

    def told(self) -> Scraped:
        return scraped(generate_latest(self.metrics.registry).decode())


@pytest.fixture
def system() -> System:
    return System()


def test_a_burst_is_told_from_backlog_to_retirement(system: System) -> None:
    system.requests.send(["image"] * 25)
    system.requests.receive(wait_s=0, visibility_s=3600, at_most=5)
    system.turn()
    first = system.told()
    assert first.of("imagefleet_scaler_backlog_images") == {
        ("visible",): 20,
        ("in_flight",): 5,
        ("delayed",): 0,
    }
    assert first.value("imagefleet_scaler_desired_workers") == 3
    assert first.value("imagefleet_scaler_launches_total") == 3

    # and then one is busy, one idle, and one still boots
    busy, idle, _ = (each.id for each in system.provider.list())
    system.report(busy, WorkerState.BUSY, service_s=0.25)
    system.report(idle, WorkerState.IDLE)
    system.turn()
    second = system.told()
    assert second.of("imagefleet_scaler_workers") == {
        ("booting",): 1,
        ("idle",): 1,
        ("busy",): 1,
        ("draining",): 0,
        ("lost",): 0,
    }
    assert second.value("imagefleet_scaler_service_seconds") == 0.25

    # and in the end all are idle for long
    system.now += 3600
    while some := system.requests.receive(wait_s=0, visibility_s=60):
        system.requests.delete([message.receipt for message in some])
    for _ in range(40):
        for worker in system.provider.list():
            system.report(worker.id, WorkerState.IDLE)
        system.turn()
    last = system.told()
    assert last.value("imagefleet_scaler_retirements_total") == 3
    assert last.value("imagefleet_scaler_desired_workers") == 0
    assert set(last.of("imagefleet_scaler_workers").values()) == {0}
    assert last.value("imagefleet_scaler_last_turn_timestamp_seconds") == system.now


def test_all_phases_and_kinds_are_told_before_the_first_turn(system: System) -> None:
    told = system.told()

    assert {phase for (phase,) in told.of("imagefleet_scaler_workers")} == PHASES
    assert set(told.of("imagefleet_scaler_failed_turns_total").values()) == {0}
    assert told.value("imagefleet_scaler_min_workers") == 0
    assert told.value("imagefleet_scaler_max_workers") == 5


def test_turns_that_fail_are_counted_by_kind_and_timed_like_all(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.requests.send(["an image, so that the scaler is not at rest"])
    system.turn()
    system.requests.outage.begin()
    system.turn()
    system.turn()
    system.requests.outage.end()
    system.requests.missing = True
    system.turn()
    system.requests.missing = False
    for error in (ProviderError("no room"), RuntimeError("a bug")):
        with monkeypatch.context() as broken:
            broken.setattr(system.provider, "sweep", lambda error=error: fail(error))
            system.turn()

    told = system.told()
    assert told.of("imagefleet_scaler_failed_turns_total") == {
        ("unavailable",): 2,
        ("queue_missing",): 1,
        ("provider",): 1,
        ("other",): 1,
        ("misconfigured",): 0,
    }
    assert told.value("imagefleet_scaler_turn_duration_seconds_count") == 6


def test_what_the_fleet_costs_is_counted_on_by_a_scaler_that_begins_again() -> None:
    # given two workers for 0.36 dollars an hour each
    system = System(worker_usd_per_hour=0.36, min_workers=2)
    system.turn()
    for _ in range(50):
        system.turn()
    told = system.told()
    assert told.value("imagefleet_scaler_hourly_cost_usd") == pytest.approx(0.72)
    assert told.value("imagefleet_scaler_cost_usd_total") == pytest.approx(0.02)

    system.begin()
    system.turn()
    system.turn(after_s=50)

    again = system.told()
    assert again.value("imagefleet_scaler_cost_usd_total") == pytest.approx(0.01)


def test_without_a_price_nothing_costs_anything(system: System) -> None:
    system.requests.send(["image"] * 25)
    system.turn()
    system.turn(after_s=3600)

    assert system.told().value("imagefleet_scaler_cost_usd_total") == 0
    assert system.told().value("imagefleet_scaler_hourly_cost_usd") == 0


@pytest.fixture
def scaler(tmp_path: Path) -> Iterator[str]:
    """A scaler as a process, over an AWS that does not answer; gives where its metrics are."""
    port = free_port()
    environ = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    ours = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "IMAGEFLEET_HEARTBEAT_FILE": str(tmp_path / "alive"),
        "IMAGEFLEET_LEASE_S": "0",
        "IMAGEFLEET_METRICS_PORT": str(port),
        "IMAGEFLEET_PREFIX": f"metrics-{port}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen([sys.executable, "-m", "imagefleet_scaler"], env=environ | ours)
    yield f"http://127.0.0.1:{port}/metrics"
    process.terminate()
    process.wait(30)


def test_a_scaler_in_trouble_still_tells_of_it(scaler: str) -> None:
    def failed() -> float:
        try:
            told = scraped(requests.get(scaler, timeout=10).text)
        except (requests.ConnectionError, requests.Timeout):
            return 0
        return told.value("imagefleet_scaler_failed_turns_total", kind="unavailable")

    wait_for(lambda: failed() >= 1, 120)


def test_workers_that_are_processes_share_no_port() -> None:
    settings = ScalerSettings(metrics_port=9464, worker_metrics_port=9465)
    environ = {METRICS_PORT: "9464", "PATH": os.environ["PATH"]}

    provider = choose_provider(settings, environ, lambda: False)

    assert vars(provider)["_environment"][METRICS_PORT] == "0"


def fail(error: Exception) -> None:
    raise error
