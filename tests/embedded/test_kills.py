"""Workers are killed in the middle of their work, by chance and by an image; none other is lost."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import poison
from client import state, upload
from imagefleet_core.settings import Settings
from place import Place, place_at
from system import System, labels, photographs, running, wait_for

pytestmark = pytest.mark.embedded

# What a killed worker held is visible again after this long.
ENVIRON = {
    "IMAGEFLEET_SCALE_IN_AFTER_S": "3",
    "IMAGEFLEET_TARGET_S": "0.5",
    "IMAGEFLEET_VISIBILITY_S": "3",
    "IMAGEFLEET_PROCESSOR": "poison:Classifier",
    "PYTHONPATH": str(Path(poison.__file__).parent),
}
IMAGES, BATCHES, KILLS = 500, 5, 6
DONE_S = 120

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("kills")
    with running(folder / "log", "--max-workers", "4", environ=ENVIRON) as started:
        yield started


@pytest.fixture(scope="module")
def data(system: System) -> Iterator[Place]:
    """The buckets and queues of the system, to look into past its own processes."""
    environ = system.scaler().environ()
    aws = {name: text for name, text in environ.items() if name.startswith("AWS_")}
    with place_at(aws, system.log.parent, Settings()) as found:
        yield found


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that ends each worker that looks at it."""
    path = tmp_path_factory.mktemp("poison") / "poison.jpg"
    path.write_bytes(poison.poison())
    return path


def test_no_image_is_lost_when_workers_are_killed(
    system: System, data: Place, killer: Path, rounds: int
) -> None:
    for seed in range(rounds):
        kill_workers_while_they_work(system, data, killer, seed)


def kill_workers_while_they_work(system: System, data: Place, killer: Path, seed: int) -> None:
    """Upload 500 photographs and a poison, kill -9 six workers at random, check every result."""
    chance, began = random.Random(seed), time.monotonic()
    batches = [upload(system.url, [*photographs(3), killer, *photographs(3)])["batch"]]
    batches += [upload(system.url, photographs(IMAGES // BATCHES))["batch"] for _ in range(BATCHES)]

    for goal in sorted(chance.sample(range(10, IMAGES * 9 // 10), KILLS)):
        wait_for(lambda goal=goal: finished(data, batches) >= goal and at_work(system), DONE_S)  # type: ignore[misc]
        instant = time.monotonic() + chance.uniform(0, 0.1)
        wait_for(lambda instant=instant: time.monotonic() >= instant, 1)  # type: ignore[misc]
        chance.choice(at_work(system)).kill()

    # then every image has its one result, the right one, and only the poison has failed
    total = IMAGES + 7
    wait_for(lambda: finished(data, batches) == total, DONE_S)
    jobs = [job for batch in batches for job in state(system.url, batch)["jobs"]]
    expected = labels()
    assert len({job["id"] for job in jobs}) == len(jobs) == total
    failed = [(job["name"], job["error"]["code"]) for job in jobs if job["status"] == "failed"]
    assert failed == [(killer.name, "worker_crashed")]
    wrong = [job for job in jobs if job["name"] in expected and label(job) != expected[job["name"]]]
    assert not wrong

    # and nothing is left behind
    wait_for(lambda: drained(data), DONE_S)
    log.info("round %d: %d kills, %.1f s", seed, KILLS, time.monotonic() - began)


def at_work(system: System) -> list[psutil.Process]:
    """Return the workers that take images; killing one that only starts proves nothing."""
    ready = re.findall(r"the worker is ready .*worker=(\S+)", system.log.read_text())
    found = []
    for worker in system.workers():
        with suppress(psutil.Error):  # it ended meanwhile
            if worker.environ().get("IMAGEFLEET_WORKER_ID") in ready:
                found.append(worker)
    return found


def finished(data: Place, batches: list[str]) -> int:
    """Return how many results there are."""
    return sum(len(data.store.result_numbers(batch)) for batch in batches)


def drained(data: Place) -> bool:
    """Return whether nothing is left in any queue."""
    telemetry = data.queues.open(data.settings.telemetry_queue)
    queues = data.requests, data.dead_letters, telemetry
    return not any(queue.counts().total for queue in queues)


def label(job: dict[str, Any]) -> str:
    """Return what the worker took a picture for."""
    found: str = job["output"]["label"]
    return found
