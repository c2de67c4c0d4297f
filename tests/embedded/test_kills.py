"""Workers are killed in the middle of their work, by chance and by an image; none other is lost."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import poison
from client import state, upload
from imagefleet_core.aws import Aws
from imagefleet_core.settings import Settings
from imagefleet_core.sqs import SqsQueues
from imagefleet_core.store import S3Store
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


@dataclass(frozen=True)
class Data:
    """The buckets and queues of the system, to look into past its own processes."""

    store: S3Store
    queues: SqsQueues
    settings: Settings

    def finished(self, batches: list[str]) -> int:
        """Return how many results there are."""
        return sum(len(self.store.result_numbers(batch)) for batch in batches)

    def drained(self) -> bool:
        """Return whether nothing is left in any queue."""
        settings = self.settings
        names = settings.requests_queue, settings.dead_letter_queue, settings.telemetry_queue
        return not any(self.queues.open(name).counts().total for name in names)


@pytest.fixture(scope="module")
def data(system: System) -> Iterator[Data]:
    settings = Settings()
    with pytest.MonkeyPatch.context() as patch:
        for name, text in system.scaler().environ().items():
            if name.startswith("AWS_"):
                patch.setenv(name, text)
        aws = Aws()
        s3, sqs = aws.s3(connections=1), aws.sqs(connections=1)
    store = S3Store(s3, input_bucket=settings.input_bucket, results_bucket=settings.results_bucket)
    yield Data(store, SqsQueues(sqs), settings)
    s3.close()
    sqs.close()


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that ends each worker that looks at it."""
    path = tmp_path_factory.mktemp("poison") / "poison.jpg"
    path.write_bytes(poison.poison())
    return path


def test_no_image_is_lost_when_workers_are_killed(
    system: System, data: Data, killer: Path, rounds: int
) -> None:
    for seed in range(rounds):
        kill_workers_while_they_work(system, data, killer, seed)


def kill_workers_while_they_work(system: System, data: Data, killer: Path, seed: int) -> None:
    """Upload 500 photographs and a poison, kill -9 six workers at random, check every result."""
    chance, began = random.Random(seed), time.monotonic()
    batches = [upload(system.url, [*photographs(3), killer, *photographs(3)])["batch"]]
    batches += [upload(system.url, photographs(IMAGES // BATCHES))["batch"] for _ in range(BATCHES)]

    for goal in sorted(chance.sample(range(10, IMAGES * 9 // 10), KILLS)):
        wait_for(lambda goal=goal: data.finished(batches) >= goal and at_work(system), DONE_S)  # type: ignore[misc]
        instant = time.monotonic() + chance.uniform(0, 0.1)
        wait_for(lambda instant=instant: time.monotonic() >= instant, 1)  # type: ignore[misc]
        chance.choice(at_work(system)).kill()

    # then every image has its one result, the right one, and only the poison has failed
    total = IMAGES + 7
    wait_for(lambda: data.finished(batches) == total, DONE_S)
    jobs = [job for batch in batches for job in state(system.url, batch)["jobs"]]
    expected = labels()
    assert len({job["id"] for job in jobs}) == len(jobs) == total
    failed = [(job["name"], job["error"]["code"]) for job in jobs if job["status"] == "failed"]
    assert failed == [(killer.name, "worker_crashed")]
    wrong = [job for job in jobs if job["name"] in expected and label(job) != expected[job["name"]]]
    assert not wrong

    # and nothing is left behind
    wait_for(data.drained, DONE_S)
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


def label(job: dict[str, Any]) -> str:
    """Return what the worker took a picture for."""
    found: str = job["output"]["label"]
    return found
