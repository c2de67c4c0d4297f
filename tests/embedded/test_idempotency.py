"""Uploads with an Idempotency-Key through web processes over an emulator, some of them killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from fault_kinds import Fault, Hold
from fault_proxy import FaultProxy
from imagefleet_core.jobs import Request
from place import Place, place_on
from system import photographs, wait_for
from worker_tier import PACKAGES

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[2]
KEY = {"Idempotency-Key": "4f5d3c1e-0b5c-4d4f-9a55-6a6ff3e3b1a7"}
CLAIM_S = 2
IMAGES = 12
DEADLINE_S = 30

# What holds a process up until it is killed: amid its images, and with nothing but the queueing
# of all of them left to do.
HELD_UP: dict[str, tuple[Fault, int]] = {
    "storing": (Hold(calls={"PutObject"}, seconds=0.5), 4),
    "queueing": (Hold(calls={"SendMessageBatch"}, seconds=3600), 1),
}


@dataclass(frozen=True)
class Served:
    """A web process."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Kill -9 the server and the processes that it started."""
        server = psutil.Process(self.process.pid)
        for each in [server, *server.children(recursive=True)]:
            each.kill()
        self.process.wait()

    def upload(self) -> requests.Response:
        """Upload some photographs."""
        files = [("file", (path.name, path.read_bytes())) for path in photographs(IMAGES)]
        url = f"{self.url}api/v1/upload"
        return requests.post(url, files=files, headers=KEY, timeout=DEADLINE_S)


@pytest.fixture
def place(ministack: str, tmp_path: Path) -> Iterator[Place]:
    with place_on(ministack, tmp_path) as made:
        yield made


@contextmanager
def web(place: Place, name: str, endpoint: str = "", connections: int = 4) -> Iterator[Served]:
    """Run a web process until it listens; it is stopped in the end if it still runs then."""
    log = place.folder / f"{name}.log"
    environment = {
        **os.environ,
        **place.environment,
        "AWS_ENDPOINT_URL": endpoint or place.endpoint,
        "PYTHONPATH": os.pathsep.join([*PACKAGES, str(ROOT / "images/web")]),
        "IMAGEFLEET_PREFIX": place.settings.prefix,
        "IMAGEFLEET_PORT": "0",
        "IMAGEFLEET_CLAIM_S": str(CLAIM_S),
        "IMAGEFLEET_AWS_CONNECTIONS": str(connections),
        "IMAGEFLEET_LOG_FORMAT": "json",
    }
    with log.open("wb") as output:
        command = [sys.executable, "-m", "imagefleet_web"]
        process = subprocess.Popen(command, env=environment, stderr=output)
    try:
        wait_for(lambda: '"url"' in log.read_text() or process.poll() is not None, DEADLINE_S)
        (line,) = [each for each in map(json.loads, log.read_text().splitlines()) if "url" in each]
        yield Served(line["url"], process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(DEADLINE_S)


def check_once(place: Place, answer: requests.Response) -> None:
    """Check that all images of one batch are stored and queued, each once, and no others."""
    assert answer.status_code == 202, answer.text
    batch = answer.json()["batch"]
    assert len(place.store.image_names(batch)) == IMAGES
    queued: list[Request] = []
    while messages := place.requests.receive(wait_s=0, visibility_s=60):
        bodies = [message.body for message in messages if '"job"' in message.body]
        queued += map(Request.decode, bodies)  # and not S3's test event
    assert sorted(request.job.number for request in queued) == list(range(1, IMAGES + 1))
    assert {request.job.batch for request in queued} == {batch}


def test_one_key_at_two_processes_at_once_is_one_batch(place: Place) -> None:
    with web(place, "one") as one, web(place, "two") as two, ThreadPoolExecutor(8) as pool:
        uploads = [pool.submit(served.upload) for served in (one, two) * 4]
        answers = [upload.result() for upload in uploads]
        last = two.upload()

    statuses = {answer.status_code for answer in answers}
    assert statuses <= {202, 409}
    batches = {answer.json()["batch"] for answer in answers if answer.status_code == 202}
    assert batches == {last.json()["batch"]}
    assert last.headers["Idempotent-Replayed"] == "true"
    check_once(place, last)


def test_a_key_outlives_the_process(place: Place) -> None:
    with web(place, "one") as one:
        first = one.upload()
        one.kill()
    with web(place, "two") as two:
        again = two.upload()

    assert again.json() == first.json()
    check_once(place, again)


@pytest.mark.parametrize(("fault", "count"), HELD_UP.values(), ids=HELD_UP)
def test_what_a_killed_process_began_is_taken_in_once(
    place: Place, fault: Fault, count: int
) -> None:
    with (
        FaultProxy(place.endpoint) as proxy,
        web(place, "one", proxy.url, connections=1) as one,
        web(place, "two") as two,
        ThreadPoolExecutor(1) as pool,
    ):
        # given a process that is killed amid an upload
        held_up = proxy.inject(fault)
        lost = pool.submit(one.upload)
        wait_for(lambda: held_up.count >= count, DEADLINE_S)
        one.kill()
        assert isinstance(lost.exception(DEADLINE_S), requests.ConnectionError)

        # when the client tries again until another process takes it
        early = two.upload()
        answers: list[requests.Response] = []
        wait_for(lambda: answers.append(two.upload()) or answers[-1].ok, DEADLINE_S)  # type: ignore[func-returns-value]

        # then nothing is lost, double or left behind
        assert (early.status_code, early.json()["code"]) == (409, "upload_in_progress")
        check_once(place, answers[-1])
        told = requests.get(f"{two.url}api/v1/batches", timeout=DEADLINE_S).json()["batches"]
        assert [(each["batch"], each["total"]) for each in told] == [
            (answers[-1].json()["batch"], IMAGES)
        ]
