"""Buckets and queues on an emulator, and the processes that tests start on them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

import web_process
from imagefleet_core import keys, replies, stack
from imagefleet_core.aws import Aws
from imagefleet_core.errors import QueueMissing
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import JobId, Request, Result, Status, new_batch_id
from imagefleet_core.s3 import S3Store
from imagefleet_core.settings import Settings
from imagefleet_core.sqs import SqsQueues
from imagefleet_scaler.providers.process import fleet_tag
from process_workers import of_fleet
from system import labels, wait_for
from web_process import WebProcess
from web_tier import result_of
from worker_tier import PACKAGES

TEMPLATE = Path(__file__).parents[2] / "infra/data.yaml"
SCALER = str(Path(__file__).parents[2] / "images/scaler")
NUMBERS = itertools.count(1)
READY_S = 240


@dataclass
class Place:
    """Buckets and queues of their own, and the workers and web processes started on them.

    Attributes:
        endpoint: what the processes take for AWS.
        submitted: the label of each image that was submitted, None where it has to fail.
    """

    environment: dict[str, str]
    settings: Settings
    folder: Path
    store: S3Store
    queues: SqsQueues
    endpoint: str
    submitted: dict[JobId, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.requests = self.queues.open(self.settings.requests_queue)
        self.dead_letters = self.queues.open(self.settings.dead_letter_queue)
        self.replies_name = f"{self.settings.replies_prefix}test"
        self.replies = self.queues.create(self.replies_name, retention_s=300, tags={})

    def submit(self, photographs: Iterable[Path]) -> list[JobId]:
        """Accept sample photographs as the web tier does."""
        expected = labels()
        return self.submit_files(
            (path.name, path.read_bytes(), expected[path.name]) for path in photographs
        )

    def submit_files(self, files: Iterable[tuple[str, bytes, str | None]]) -> list[JobId]:
        """Accept files, given as name, content, and label or None."""
        batch, requests, now = new_batch_id(), [], datetime.now(UTC)
        for number, (name, content, label) in enumerate(files, 1):
            job = JobId(batch, number)
            request = Request(job, keys.input_key(job, name), name, self.replies_name, now)
            self.store.put_image(request.key, content, "image/jpeg")
            self.submitted[job] = label
            requests.append(request)
        self.requests.send([request.encode() for request in requests])
        return [request.job for request in requests]

    def finished(self, jobs: list[JobId]) -> int:
        """Return how many results there are of one batch."""
        return len(self.store.result_numbers(jobs[0].batch))

    def verify(self, jobs: Iterable[JobId] | None = None) -> None:
        """Check that each image has its result, the right one."""
        for job in self.submitted if jobs is None else jobs:
            result, expected = self.store.get_result(job), self.submitted[job]
            assert result is not None, f"{job} has no result"
            wanted = Status.FAILED if expected is None else Status.DONE
            assert (result.job, result.status, result.label) == (job, wanted, expected), result

    def told(self) -> list[JobId]:
        """Return the jobs whose results came as replies, taking these off their queue."""
        told: list[JobId] = []
        while replies := self.replies.receive(wait_s=0, visibility_s=60):
            told += [Result.decode(reply.body).job for reply in replies]
            self.replies.delete([reply.receipt for reply in replies])
        return told

    @contextmanager
    def worker(self, name: str = "worker-1", **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker; it is killed in the end if it still runs then."""
        with self._running("imagefleet_worker", name, settings) as process:
            yield process

    def await_worker(self, name: str = "worker-1") -> None:
        """Return once a worker is at work."""
        wait_for((self.folder / f"{name}.alive").exists, READY_S)

    @contextmanager
    def scaler(self, name: str = "scaler-1", **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a scaler whose workers are processes; it is killed in the end, and they are not."""
        with self._running("imagefleet_scaler", name, settings) as process:
            yield process

    def end_workers(self) -> None:
        """Kill the workers that scalers have started."""
        for worker in of_fleet(fleet_tag(self.settings.prefix, self.endpoint)):
            worker.kill()

    @contextmanager
    def _running(
        self, module: str, name: str, settings: dict[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", module]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environment_of(name, settings), stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    @contextmanager
    def web(
        self, name: str = "web-1", *, endpoint: str = "", **settings: str
    ) -> Iterator[WebProcess]:
        """Run a web process until it listens; it is stopped in the end if it still runs then.

        Args:
            endpoint: what it takes for AWS, if not what the workers do.
        """
        environ = {
            **self.environment,
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "IMAGEFLEET_PREFIX": self.settings.prefix,
            "IMAGEFLEET_PORT": "0",
            # The tests upload the same photographs again and again, each to be worked on.
            "IMAGEFLEET_REUSE_RESULTS": "false",
            **settings,
        }
        with web_process.started(self.folder / f"{name}.log", environ) as started:
            yield started

    def play(self, count: int, *, reply: bool = True) -> list[Request]:
        """Play the workers until they have worked on `count` images; see `work`."""
        taken: list[Request] = []
        while len(taken) < count:
            taken += self.work(wait_s=5, reply=reply)
        return taken

    def work(self, *, wait_s: int = 1, reply: bool = True) -> list[Request]:
        """Play a worker: take up to ten requests, store a result for each and maybe reply.

        What a request is answered `result_of` tells.
        """
        taken, told = [], defaultdict(list)
        messages = self.requests.receive(wait_s=wait_s, visibility_s=60)
        for request in (each for some in messages for each in decode_requests(some.body)):
            taken.append(request)
            result = result_of(request)
            self.store.put_result(result)
            if reply and request.reply_to:
                told[request.reply_to].append(replies.encode(result))
        for name, results in told.items():
            with suppress(QueueMissing):  # who asked is gone
                self.queues.open(name).send(results)
        self.requests.delete([message.receipt for message in messages])
        return taken

    def stored(self) -> set[str]:
        """Return the batches of which there are images."""
        batches = self.store.batches_from("").ids
        return {batch for batch in batches if self.store.image_names(batch)}

    def queued(self) -> list[Request]:
        """Return all requests that wait, taking them off the queue."""
        taken: list[Request] = []
        while messages := self.requests.receive(wait_s=0, visibility_s=60):
            taken += [each for message in messages for each in decode_requests(message.body)]
            self.requests.delete([message.receipt for message in messages])
        return taken

    def environment_of(self, name: str, settings: dict[str, str]) -> dict[str, str]:
        """Return what a worker or a scaler finds in its environment."""
        return {
            **os.environ,
            **self.environment,
            "AWS_ENDPOINT_URL": self.endpoint,
            "PYTHONPATH": os.pathsep.join([*PACKAGES, SCALER]),
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
def place_on(
    emulator: str, folder: Path, *, endpoint: str = "", max_receives: int = 5
) -> Iterator[Place]:
    """Make buckets and queues.

    Args:
        emulator: where they are made, and where the tests look at them.
        endpoint: what the processes take for AWS, the same unless given.
        max_receives: how often a message is delivered before it is a dead letter.
    """
    environment = {
        "AWS_ENDPOINT_URL": emulator,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "NO_PROXY": "127.0.0.1",
    }
    settings = Settings(prefix=f"placed-{next(NUMBERS)}")
    apply(environment, settings, MaxReceives=str(max_receives))
    with place_at(environment, folder, settings, endpoint=endpoint) as place:
        yield place


def apply(environment: Mapping[str, str], settings: Settings, **parameters: str) -> None:
    """Make buckets and queues, as `infra/data.yaml` has them."""
    with _aws(environment) as aws:
        name, template = f"{settings.prefix}-data", TEMPLATE.read_text()
        wanted = {"Prefix": settings.prefix, **parameters}
        stack.apply(aws.cloudformation(), name, template, wanted)


@contextmanager
def place_at(
    environment: Mapping[str, str], folder: Path, settings: Settings, *, endpoint: str = ""
) -> Iterator[Place]:
    """Look at buckets and queues that there are.

    Args:
        environment: boto3's variables, which say where they are.
    """
    with _aws(environment) as aws:
        s3, sqs = aws.s3(4), aws.sqs(4)
    store = S3Store(s3, input_bucket=settings.input_bucket, results_bucket=settings.results_bucket)
    seen_at = endpoint or environment["AWS_ENDPOINT_URL"]
    try:
        yield Place(dict(environment), settings, folder, store, SqsQueues(sqs), seen_at)
    finally:
        s3.close()
        sqs.close()


@contextmanager
def _aws(environment: Mapping[str, str]) -> Iterator[Aws]:
    with pytest.MonkeyPatch.context() as patch:
        for variable, text in environment.items():
            patch.setenv(variable, text)
        yield Aws()
