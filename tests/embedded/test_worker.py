"""A worker as a process of its own over the embedded emulator, with real photographs."""

from __future__ import annotations

import csv
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imagefleet_core import keys, stack
from imagefleet_core.aws import Aws
from imagefleet_core.jobs import JobId, Request, Result, new_batch_id
from imagefleet_core.settings import Settings
from imagefleet_core.sqs import SqsQueues
from imagefleet_core.store import S3Store
from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scripts import emulator
from system import wait_for
from worker_tier import PACKAGES

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "infra/data.yaml").read_text()
PHOTOGRAPHS = sorted((ROOT / "samples").glob("*.jpg"))
NUMBERS = itertools.count(1)
RESULTS_S = 60
EXIT_S = 40


def labels() -> dict[str, str]:
    """Return the label of each sample photograph."""
    with (ROOT / "samples/labels.csv").open(newline="") as file:
        return {row["Image"]: row["Results"] for row in csv.DictReader(file)}


@dataclass
class Place:
    """Buckets and queues of their own on an emulator, and the workers started on them."""

    environment: dict[str, str]
    settings: Settings
    folder: Path
    store: S3Store
    queues: SqsQueues

    def __post_init__(self) -> None:
        self.requests = self.queues.open(self.settings.requests_queue)
        self.replies_name = f"{self.settings.replies_prefix}test"
        self.replies = self.queues.create(self.replies_name, retention_s=300, tags={})

    def submit(self, photographs: list[Path]) -> dict[JobId, str]:
        """Accept photographs as the web tier does; return the label each should get."""
        expected, batch, requests, now = labels(), new_batch_id(), [], datetime.now(UTC)
        for number, path in enumerate(photographs, 1):
            job = JobId(batch, number)
            request = Request(
                job, keys.input_key(job, path.name), path.name, self.replies_name, now
            )
            self.store.put_image(request.key, path.read_bytes(), "image/jpeg")
            requests.append(request)
        self.requests.send([request.encode() for request in requests])
        return {each.job: expected[each.name] for each in requests}

    def labels_of(self, jobs: dict[JobId, str]) -> dict[JobId, str | None]:
        """Return the labels that jobs got so far."""
        results = {job: self.store.get_result(job) for job in jobs}
        return {job: result.label for job, result in results.items() if result}

    def finished(self, jobs: dict[JobId, str]) -> int:
        """Return how many results there are of one batch."""
        return len(self.store.result_numbers(next(iter(jobs)).batch))

    @contextmanager
    def worker(self, name: str = "worker-1", **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker; it is killed in the end if it still runs then."""
        command = [sys.executable, "-m", "imagefleet_worker"]
        environment = self.environment_of(name, settings)
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def environment_of(self, name: str, settings: dict[str, str]) -> dict[str, str]:
        """Return what a worker finds in its environment."""
        return {
            **os.environ,
            **self.environment,
            "PYTHONPATH": os.pathsep.join(PACKAGES),
            "IMAGEFLEET_PREFIX": self.settings.prefix,
            "IMAGEFLEET_WORKER_ID": name,
            "IMAGEFLEET_RECEIVE_WAIT_S": "1",
            "IMAGEFLEET_HEARTBEAT_FILE": str(self.folder / f"{name}.alive"),
            "IMAGEFLEET_LOG_FORMAT": "json",
            **settings,
        }

    def log(self, name: str = "worker-1") -> str:
        """Return what a worker has said."""
        return (self.folder / f"{name}.log").read_text()


@contextmanager
def place_on(endpoint: str, folder: Path) -> Iterator[Place]:
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "NO_PROXY": "127.0.0.1",
    }
    settings = Settings(prefix=f"worker-test-{next(NUMBERS)}")
    with pytest.MonkeyPatch.context() as patch:
        for variable, text in environment.items():
            patch.setenv(variable, text)
        aws = Aws()
        stack.apply(
            aws.cloudformation(), f"{settings.prefix}-data", TEMPLATE, {"Prefix": settings.prefix}
        )
        s3, sqs = aws.s3(4), aws.sqs(4)
        store = S3Store(
            s3, input_bucket=settings.input_bucket, results_bucket=settings.results_bucket
        )
        yield Place(environment, settings, folder, store, SqsQueues(sqs))
        s3.close()
        sqs.close()


@pytest.fixture
def place(ministack: str, tmp_path: Path) -> Iterator[Place]:
    with place_on(ministack, tmp_path) as made:
        yield made


def test_photographs_get_their_labels_and_whoever_asked_is_told(place: Place) -> None:
    jobs = place.submit(PHOTOGRAPHS * 5)

    with place.worker():
        wait_for(lambda: place.finished(jobs) == len(jobs), RESULTS_S)
        wait_for(lambda: place.requests.counts().total == 0, RESULTS_S)

    assert place.labels_of(jobs) == jobs
    told: list[JobId] = []
    while replies := place.replies.receive(wait_s=0, visibility_s=60):
        told += [Result.decode(reply.body).job for reply in replies]
    assert sorted(told) == sorted(jobs)


def test_a_file_put_into_the_inbox_is_classified_without_any_other_call(place: Place) -> None:
    place.store.put_image(
        "inbox/my cat.jpg", (ROOT / "samples/chelsea.jpg").read_bytes(), "image/jpeg"
    )

    with place.worker():
        wait_for(lambda: "my cat.jpg" in place.log(), RESULTS_S)
        wait_for(lambda: place.requests.counts().total == 0, RESULTS_S)

    assert "Egyptian cat" in place.log()


def test_sigterm_in_the_middle_loses_nothing_and_hides_nothing(place: Place) -> None:
    # given a worker in the middle of its work
    jobs = place.submit(PHOTOGRAPHS * 30)
    with place.worker() as first:
        wait_for(lambda: place.finished(jobs) >= 20, RESULTS_S)

        first.send_signal(signal.SIGTERM)
        assert first.wait(EXIT_S) == 0

    # then every image is either finished or there for the next worker at once
    finished, waiting = place.finished(jobs), place.requests.counts()
    assert 20 <= finished < len(jobs)
    assert (waiting.visible, waiting.in_flight) == (len(jobs) - finished, 0)

    # and the next worker does the rest, each in its first try
    with place.worker("worker-2"):
        wait_for(lambda: place.finished(jobs) == len(jobs), RESULTS_S)
    assert place.labels_of(jobs) == jobs


def test_a_killed_workers_images_are_done_by_the_next(place: Place) -> None:
    jobs = place.submit(PHOTOGRAPHS * 20)
    with place.worker(IMAGEFLEET_VISIBILITY_S="3") as first:
        wait_for(lambda: place.finished(jobs) >= 20, RESULTS_S)
        first.kill()

    with place.worker("worker-2", IMAGEFLEET_VISIBILITY_S="3"):
        wait_for(lambda: place.finished(jobs) == len(jobs), RESULTS_S)
        wait_for(lambda: place.requests.counts().total == 0, RESULTS_S)

    assert place.labels_of(jobs) == jobs
    assert place.queues.open(place.settings.dead_letter_queue).counts().total == 0


def test_a_worker_without_work_ends_and_tells_its_life(place: Place) -> None:
    jobs = place.submit(PHOTOGRAPHS)
    with place.worker(IMAGEFLEET_IDLE_EXIT_S="1") as worker:
        assert worker.wait(RESULTS_S) == 0

    telemetry = place.queues.open(place.settings.telemetry_queue)
    reports = [
        Report.decode(message.body) for message in telemetry.receive(wait_s=1, visibility_s=60)
    ]
    last = max(reports, key=lambda report: report.at)
    assert (last.worker, last.state) == ("worker-1", WorkerState.STOPPED)
    assert (last.done, last.failed, last.in_flight) == (len(jobs), 0, 0)
    assert 0.001 < last.service_s < 1


def test_a_worker_at_work_is_healthy(place: Place) -> None:
    def check() -> int:
        command = [sys.executable, "-m", "imagefleet_worker", "--healthy"]
        return subprocess.run(command, env=place.environment_of("worker-1", {})).returncode

    assert check() == 1
    with place.worker():
        wait_for(lambda: check() == 0, RESULTS_S)


def test_a_missing_queue_is_one_clear_line(place: Place) -> None:
    with place.worker(IMAGEFLEET_PREFIX="nobody-made-this") as worker:
        assert worker.wait(RESULTS_S) == 1

    (line,) = place.log().splitlines()
    assert "no queue is called nobody-made-this-requests: apply infra/data.yaml first" in line


def test_a_worker_outlives_its_aws_and_goes_when_told(tmp_path: Path) -> None:
    # given a worker whose emulator is gone
    started = emulator.start(tmp_path / "emulator", keep=False)
    try:
        with place_on(started.endpoint, tmp_path) as place:
            jobs = place.submit(PHOTOGRAPHS * 10)
            with place.worker(IMAGEFLEET_DRAIN_S="1") as worker:
                wait_for(lambda: place.finished(jobs) >= 5, RESULTS_S)
                started.process.kill()
                wait_for(lambda: "AWS does not answer" in place.log(), RESULTS_S)
                assert worker.poll() is None

                worker.send_signal(signal.SIGTERM)
                assert worker.wait(EXIT_S) == 0
    finally:
        started.process.kill()
        started.process.wait()

    assert "Traceback" not in place.log()
