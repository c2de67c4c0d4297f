"""Hundreds of uploads that wait at once, on the real server over the emulator."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from imagefleet_core.aws import Aws
from imagefleet_core.inbox import decode_requests
from imagefleet_core.settings import Settings
from imagefleet_core.sqs import SqsQueues
from imagefleet_core.stack import apply
from imagefleet_core.store import S3Store
from web_tier import CHELSEA, eventually, form, result_of

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[2]
UPLOADS = 500
WAIT_S = 120
SETTINGS = Settings(prefix="waiting")


@dataclass(frozen=True)
class Served:
    """A running server, and the worker's side of what it uses."""

    url: str
    process: psutil.Process
    log: Path
    store: S3Store
    queues: SqsQueues

    def finish(self, count: int, *, reply: bool) -> None:
        """Play the workers: take `count` requests, store a result for each and maybe reply."""
        queue = self.queues.open(SETTINGS.requests_queue)
        while count:
            messages = queue.receive(wait_s=5, visibility_s=60)
            asked = [each for message in messages for each in decode_requests(message.body)]
            results = [result_of(request) for request in asked]
            for result in results:
                self.store.put_result(result)
            for reply_to in {request.reply_to for request in asked if request.reply_to and reply}:
                self.queues.open(reply_to).send([result.encode() for result in results])
            queue.delete([message.receipt for message in messages])
            count -= len(asked)

    def accepted(self) -> int:
        """Return how many uploads were accepted so far."""
        return self.log.read_text().count("upload accepted")

    def health_s(self) -> float:
        """Return how long a new client's `/healthz` takes."""
        began = time.monotonic()
        assert requests.get(f"{self.url}healthz", timeout=WAIT_S).ok
        return time.monotonic() - began


@pytest.fixture
def served(ministack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """One web process over a data stack of its own."""
    for name, value in {
        "AWS_ENDPOINT_URL": ministack,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "PYTHONPATH": f"{ROOT}/images/core:{ROOT}/images/web",
        "IMAGEFLEET_PREFIX": SETTINGS.prefix,
        "IMAGEFLEET_PORT": "0",
        "IMAGEFLEET_LOG_FORMAT": "json",
    }.items():
        monkeypatch.setenv(name, value)
    aws = Aws()
    template = (ROOT / "infra/data.yaml").read_text()
    apply(aws.cloudformation(), "waiting-data", template, {"Prefix": SETTINGS.prefix})
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "imagefleet_web"], stderr=output)
    eventually(lambda: "listening" in log.read_text() or process.poll() is not None)
    (listening,) = [line for line in map(json.loads, log.read_text().splitlines()) if "url" in line]
    store = S3Store(
        aws.s3(1), input_bucket=SETTINGS.input_bucket, results_bucket=SETTINGS.results_bucket
    )
    yield Served(listening["url"], psutil.Process(process.pid), log, store, SqsQueues(aws.sqs(1)))
    process.terminate()
    assert process.wait(30) == 0
    assert SqsQueues(aws.sqs(1)).names(SETTINGS.replies_prefix) == []


async def upload(url: str, name: str) -> tuple[int, str]:
    """Upload an image, wait for its label, and return status and text."""
    body, content_type = form([("file", name, CHELSEA)])
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        f"POST /?wait={WAIT_S} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("reply", [True, False], ids=["with replies", "with every reply lost"])
def test_hundreds_of_uploads_wait_and_everything_else_is_answered(
    served: Served, reply: bool
) -> None:
    """Waiting costs threads, little memory and nobody else's time."""

    async def scenario() -> list[tuple[int, str]]:
        # given uploads that wait
        uploads = [
            asyncio.create_task(upload(served.url, f"{number}.jpg")) for number in range(UPLOADS)
        ]
        while await asyncio.to_thread(served.accepted) < UPLOADS:
            await asyncio.sleep(0.05)

        # then a health check is answered as ever
        times = sorted([await asyncio.to_thread(served.health_s) for _ in range(200)])
        (server,) = served.process.children()
        threads, memory = server.num_threads(), server.memory_info().rss
        print(  # noqa: T201
            f"{UPLOADS} uploads wait: {threads} threads, {memory / 1e6:.0f} MB; /healthz "
            f"p50 {times[100] * 1000:.1f} ms, p99 {times[198] * 1000:.1f} ms"
        )
        assert threads >= UPLOADS
        assert memory < 400e6
        assert times[198] < 0.5

        # when their results are there
        began = time.monotonic()
        await asyncio.to_thread(served.finish, UPLOADS, reply=reply)
        stored = time.monotonic()
        answers = await asyncio.gather(*uploads)
        told = time.monotonic()
        print(f"stored in {stored - began:.1f} s, told {told - stored:.2f} s later")  # noqa: T201
        return answers

    answers = asyncio.run(scenario())

    # then each gets its own label
    assert answers == [(200, f"{number}.jpg 1\n") for number in range(UPLOADS)]
