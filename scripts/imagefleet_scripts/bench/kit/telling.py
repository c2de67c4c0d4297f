"""How long after its result was stored a client is told of it, whichever way it waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
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
# What a worker is busy with meanwhile; by then whoever waits does so.
WORK_S = 0.05
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
        answer = self._upload(path)
        if LABEL not in answer.read().decode():
            raise BenchError(f"{path} was answered {answer.status} without the label")
        return time.monotonic() - stored.result(TIMEOUT_S)

    def _events(self) -> float:
        location = self._upload("/api/v1/upload").headers["Location"]
        stream = self._ask("GET", f"{location}/events", b"")
        stream.readline()  # it is open
        stored = self._work()
        while not (line := stream.readline()).startswith(b"data:"):
            if not line:
                raise BenchError("a stream of events ended without the result")
        told_at = time.monotonic()
        stream.close()
        return told_at - stored.result(TIMEOUT_S)

    def _work(self) -> Future[float]:
        return self._pool.submit(self._worker.finish_one, lambda _: time.sleep(WORK_S))

    def _upload(self, path: str) -> HTTPResponse:
        url = urlsplit(self._served.url)
        uploads = Uploads(url.netloc, path, self._image, self._served.key, idempotent=False)
        return self._ask("POST", path, uploads.next())

    def _ask(self, method: str, path: str, request: bytes) -> HTTPResponse:
        """Send a request as it is, or make one of method and path; return its answer."""
        url = urlsplit(self._served.url)
        connection = HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT_S)
        if request:
            connection.connect()
            connection.sock.sendall(request)
            answer = HTTPResponse(connection.sock, method=method)
            answer.begin()
            return answer
        headers = {"Authorization": f"Bearer {self._served.key}"}
        connection.request(method, path, headers=headers)
        return connection.getresponse()
