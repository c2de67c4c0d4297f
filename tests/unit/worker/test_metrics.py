"""What a worker tells Prometheus."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client import CollectorRegistry, generate_latest

import odd_work
from imagefleet_worker.children.child import ChildLost
from imagefleet_worker.children.decoders import Decoders
from imagefleet_worker.children.runners import Runner
from imagefleet_worker.decoding.formats import BadImageError
from imagefleet_worker.metrics import Figures, serve
from imagefleet_worker.recipe import Picture, Recipe
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.worker import Worker
from scraped import Scraped, scraped
from worker_tier import CURSED, PACKAGES, Tier, picture, work

RECIPE = Recipe(size=8, resize=8, interpolation="bilinear")
STAGES = {"fetching", "decoding", "processing", "storing", "replying", "deleting"}
MB = 1_000_000


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


@pytest.fixture
def decoders() -> Decoders:
    """Decoders, none of which has started."""
    return Decoders(count=1, max_pixels=MB, limit_s=30, memory_bytes=256 * MB)


@pytest.fixture
def runner() -> Runner:
    """A runner that hasn't started."""
    return Runner(limit_s=30)


def told(worker: Worker, decoders: Decoders, runner: Runner) -> Scraped:
    registry = CollectorRegistry()
    registry.register(Figures(worker, decoders, runner))
    return scraped(generate_latest(registry).decode())


def test_results_are_told_by_status_and_code(
    tier: Tier, decoders: Decoders, runner: Runner
) -> None:
    worker = tier.worker()
    tier.submit([picture((1, 1, 1)), b"", b"not a picture", picture((2, 2, 2))])

    work(worker)

    # by code and status
    assert told(worker, decoders, runner).of("imagefleet_worker_results_total") == {
        ("", "done"): 2,
        ("empty_file", "failed"): 1,
        ("not_an_image", "failed"): 1,
    }


def test_each_stage_tells_how_long_it_was_at_work_and_on_how_much(
    tier: Tier, decoders: Decoders, runner: Runner
) -> None:
    # given a decoder that takes three seconds a picture
    worker, decode = tier.worker(), tier.colours.decode

    def slow(data: bytes) -> Picture:
        tier.clock.now += 3
        return decode(data)

    tier.colours.decode = slow  # type: ignore[method-assign]
    tier.submit([picture((1, 1, 1)), picture((2, 2, 2))])
    worker.consumer.turn()
    before = told(worker, decoders, runner)
    work(worker)
    figures = told(worker, decoders, runner)

    busy = figures.of("imagefleet_worker_stage_busy_seconds_total")
    assert {stage for (stage,) in busy} == STAGES
    assert busy["decoding",] == 6
    assert set(figures.of("imagefleet_worker_stage_images_total").values()) == {2}
    assert before.value("imagefleet_worker_stage_waiting_images", stage="fetching") == 2
    assert figures.value("imagefleet_worker_stage_waiting_images", stage="fetching") == 0
    assert figures.value("imagefleet_worker_stage_threads", stage="fetching") == 8


def test_images_it_holds_and_its_end_are_told(
    tier: Tier, decoders: Decoders, runner: Runner
) -> None:
    worker = tier.worker(max_in_flight=50)
    tier.submit([picture((1, 1, 1))] * 3)
    worker.consumer.turn()

    held = told(worker, decoders, runner)
    assert held.value("imagefleet_worker_held_images") == 3
    assert held.value("imagefleet_worker_held_images_limit") == worker.most_held() > 3
    assert held.value("imagefleet_worker_draining") == 0
    assert held.value("imagefleet_worker_under_pressure") == 0

    tier.stop.ask()
    work(worker)
    after = told(worker, decoders, runner)
    assert after.value("imagefleet_worker_held_images") == 0
    assert after.value("imagefleet_worker_draining") == 1


def test_memory_is_told_by_what_takes_it(tier: Tier, decoders: Decoders, runner: Runner) -> None:
    worker = tier.worker()
    tier.submit([picture((1, 1, 1))])
    worker.consumer.turn()
    worker.pipeline.fetching.turn()
    fetched = told(worker, decoders, runner).of("imagefleet_worker_memory_used_bytes")
    worker.pipeline.decoding.turn()
    figures = told(worker, decoders, runner)
    decoded = figures.of("imagefleet_worker_memory_used_bytes")

    assert fetched == {("files",): len(picture((1, 1, 1))), ("decoding",): 0, ("pixels",): 0}
    assert decoded["files",] == 0
    assert decoded["pixels",] == 8 * 8 * 3
    assert figures.of("imagefleet_worker_memory_limit_bytes") == {
        ("files",): tier.memory.files,
        ("decoding",): decoders.limit(),
        ("pixels",): tier.memory.pixels,
    }


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Decoders, Runner]]:
    """A decoder and a runner that some pictures end."""
    here = str(Path(odd_work.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*PACKAGES, here]))
    monkeypatch.setenv("IMAGEFLEET_PROCESSOR", "odd_work:OddWork")
    odd = (sys.executable, "-P", "-m", "odd_decoder")
    with (
        Decoders(
            count=1, max_pixels=MB, limit_s=30, memory_bytes=128 * MB, command=odd
        ) as decoders,
        Runner(limit_s=30) as runner,
    ):
        decoders.await_ready()
        runner.await_ready()
        yield decoders, runner


def test_children_that_are_replaced_are_counted(
    tier: Tier, fragile: tuple[Decoders, Runner]
) -> None:
    decoders, runner = fragile
    worker = tier.worker()
    assert told(worker, *fragile).of("imagefleet_worker_child_restarts_total") == {
        ("decoder",): 0,
        ("processor",): 0,
    }

    for _ in range(2):
        with pytest.raises(BadImageError):
            decoders.decode(b"segfault ", RECIPE)
    with pytest.raises(ChildLost):
        runner.process([Picture(8, 8, bytes([odd_work.DIE] * 192))])

    assert told(worker, *fragile).of("imagefleet_worker_child_restarts_total") == {
        ("decoder",): 2,
        ("processor",): 1,
    }


def test_images_that_fail_in_their_batch_are_counted_with_each_try(
    tier: Tier, decoders: Decoders, runner: Runner
) -> None:
    worker = tier.worker()
    tier.submit([picture((1, 1, 1)), picture(CURSED)])

    work(worker)

    figures = told(worker, decoders, runner)
    assert figures.of("imagefleet_worker_results_total") == {("", "done"): 1}
    assert figures.value("imagefleet_worker_stage_images_total", stage="processing") == 2


def test_figures_are_served_at_the_port_of_the_settings(
    tier: Tier, decoders: Decoders, runner: Runner
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = serve(WorkerSettings(metrics_port=port), tier.worker(), decoders, runner)
    assert endpoint
    try:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    finally:
        endpoint.shutdown()
        endpoint.server_close()

    assert scraped(text).value("imagefleet_worker_results_total", status="done", code="") == 0
    assert 'code=""' in text


def test_a_worker_without_metrics_does_not_load_what_tells_them() -> None:
    program = (
        "import sys, imagefleet_worker.startup; "
        "print([name for name in sys.modules if name.startswith('prometheus')])"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ended.stdout.strip() == "[]"
    assert WorkerSettings().metrics_port == 0
