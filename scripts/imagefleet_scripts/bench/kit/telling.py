"""How long after its result was stored a client is told of it, whichever way it waits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPResponse
from pathlib import Path
from socket import create_connection
from urllib.parse import urlsplit

from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.played_worker import LABEL, PlayedWorker
from imagefleet_scripts.bench.kit.serving import Served
from imagefleet_scripts.bench.kit.upload_load import Uploads

WAYS = {
    "wait": "POST /api/v1/upload?wait",
    "events": "GET /api/v1/batches/…/events",
    "plain": "POST /",
}
# What a worker is busy with meanwhile; by then whoever waits does so. By chance, as the emulator
# looks every 100 ms for what a long poll waits for, which would otherwise fall into step with it.
WORK_S = (0.05, 0.15)
TIMEOUT_S = 60


class Telling:
    """A client and a worker that take turns.

    Args:
        image: what is uploaded.
    """

    def __init__(self, served: Served, worker: PlayedWorker, image: Path) -> None:
        self._served = served
        self._worker = worker
        self._image = image
        self._pool = ThreadPoolExecutor(1)

    def times(self, way: str, count: int) -> list[float]:
        """Return the seconds from a stored result to the client's having all of it, by turns."""
        tell: Callable[[], float] = {
            "wait": lambda: self._waited(f"/api/v1/upload?wait={TIMEOUT_S}"),
            "events": self._events,
            "plain": lambda: self._waited(f"/?wait={TIMEOUT_S}"),
        }[way]
        return [tell() for _ in range(count)]

    def _waited(self, path: str) -> float:
        stored = self._work()
        with self._upload(path) as answer:
            if LABEL not in answer.read().decode():
                raise BenchError(f"{path} was answered {answer.status} without the label")
            return time.monotonic() - stored.result(TIMEOUT_S)

    def _events(self) -> float:
        with self._upload("/api/v1/upload") as answer:
            events = f"{answer.headers['Location']}/events"
            answer.read()
        with self._ask(self._get(events)) as stream:
            stream.readline()  # it is open
            stored = self._work()
            while not (line := stream.readline()).startswith(b"data:"):
                if not line:
                    raise BenchError("a stream of events ended without the result")
            return time.monotonic() - stored.result(TIMEOUT_S)

    def _work(self) -> Future[float]:
        return self._pool.submit(self._worker.finish_one, lambda _: time.sleep(work_s()))

    def _upload(self, path: str) -> AbstractContextManager[HTTPResponse]:
        host, key = urlsplit(self._served.url).netloc, self._served.key
        return self._ask(Uploads(host, path, self._image, key, idempotent=False).next())

    def _get(self, path: str) -> bytes:
        host, key = urlsplit(self._served.url).netloc, self._served.key
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n"
        return head.encode()

    @contextmanager
    def _ask(self, request: bytes) -> Iterator[HTTPResponse]:
        """Send a request over a connection of its own; give its answer."""
        url = urlsplit(self._served.url)
        with create_connection((url.hostname, url.port), timeout=TIMEOUT_S) as connection:
            connection.sendall(request)
            with HTTPResponse(connection) as answer:
                answer.begin()
                yield answer


def work_s() -> float:
    """Return how long to work this time, in seconds."""
    return random.uniform(*WORK_S)  # noqa: S311  # hides nothing
