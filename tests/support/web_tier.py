"""A web process over the fakes, and a worker that plays its part, for the tests of the web tier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any, cast

from werkzeug.test import TestResponse

import described
import fakes
from imagefleet_core import replies
from imagefleet_core.jobs import Failure, Prediction, Request, Result
from imagefleet_core.keys import dropped_key
from imagefleet_web import services
from imagefleet_web.app import create_app
from imagefleet_web.settings import WebSettings
from system import wait_for

SAMPLES = Path(__file__).parents[2] / "samples"
CHELSEA = (SAMPLES / "chelsea.jpg").read_bytes()
COFFEE = (SAMPLES / "coffee.jpg").read_bytes()

REQUESTS, DEAD_LETTERS = "imagefleet-requests", "imagefleet-requests-dead"
DEADLINE_S = 60
MEASURED = {"size": [640, 480], "motif": "Käse", "blurred": None}


class World:
    """What the processes share: the store, the queues and a worker."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.store = fakes.MemoryStore(clock) if clock else fakes.MemoryStore()
        self.queues = fakes.MemoryQueues(clock) if clock else fakes.MemoryQueues()
        self.requests = self.queues.add(REQUESTS, dead_letters=DEAD_LETTERS)
        self.dead_letters = self.queues.open(DEAD_LETTERS)

    def queued(self) -> list[Request]:
        """Return all requests in the queue."""
        return [Request.decode(body) for body in self.requests.bodies()]

    def take(self, count: int) -> list[Request]:
        """Receive and delete `count` requests, as soon as they come."""
        taken: list[Request] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(taken) < count:
            assert time.monotonic() < deadline, f"{len(taken)} of {count} requests came"
            for message in self.requests.receive(wait_s=DEADLINE_S, visibility_s=60):
                taken.append(Request.decode(message.body))
                self.requests.delete([message.receipt])
        return taken

    def finish(self, requests: Iterable[Request], *, reply: bool = True) -> list[Result]:
        """Store a result for each request and reply: see `result_of`."""
        results = [result_of(request) for request in requests]
        for request, result in zip(requests, results, strict=True):
            self.store.put_result(result)
            if reply and request.reply_to:
                self.queues.open(request.reply_to).send([replies.encode(result)])
        return results


class Answer(TestResponse):
    """An answer whose JSON need not be checked for being there."""

    @property
    def json(self) -> Any:
        return self.get_json()


class Web:
    """One web process with a replies queue; its background stands still unless it is started."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        # The tests upload the same photographs again and again, each to be worked on.
        fixed = WebSettings(**{"reuse_results": False} | settings)
        self.app = create_app(fixed, world.store, world.queues)
        self.services = services.of(self.app)
        self.listen()

    def request(self, method: str, path: str, *, buffered: bool = True, **options: Any) -> Answer:
        client = self.app.test_client()
        answer = client.open(path, method=method, buffered=buffered, **options)
        described.check(self.app, method, path, answer)
        return cast(Answer, answer)

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def upload(
        self, *files: tuple[str, bytes], path: str = "/api/v1/upload", **options: Any
    ) -> Answer:
        """Upload files, given as name and content, each in the field `file`."""
        body, content_type = form([("file", *file) for file in files])
        return self.post(path, data=body, content_type=content_type, **options)

    def meanwhile(self, call: Callable[[], Answer]) -> Meanwhile:
        """Begin a request in another thread."""
        return Meanwhile(call)

    def listen(self) -> None:
        """Take the replies that are there."""
        self.services.replies.listen()


class Meanwhile:
    """A request that another thread makes."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        self._answers: list[Answer] = []
        self._thread = Thread(target=lambda: self._answers.append(call()), daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        """Return the answer as soon as it is there."""
        self._thread.join(DEADLINE_S)
        assert self._answers, f"no answer within {DEADLINE_S} s"
        return self._answers[0]


def form(files: list[tuple[str, str, bytes]]) -> tuple[bytes, str]:
    """Write files, given as field, name and content, as a multipart form."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for field, name, content in files
    ]
    return b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b"


def eventually(condition: Callable[[], object]) -> None:
    """Return once `condition` holds."""
    wait_for(condition, DEADLINE_S)


def result_of(request: Request) -> Result:
    """Return the result that the played worker has for a request.

    Labels with the image's name, or a failure for `broken…`, an output for `measured…`, and one
    too large for a reply for `huge…`.
    """
    failed, measured = request.name.startswith("broken"), request.name.startswith("measured")
    huge, now = request.name.startswith("huge"), datetime.now(UTC)
    return Result(
        job=request.job,
        name=request.name,
        top=()
        if failed or measured or huge
        else tuple(Prediction(f"{request.name} {i}", 0.9 / i) for i in range(1, 6)),
        output=MEASURED if measured else {"text": "x" * 50_000} if huge else None,
        error=Failure("truncated", "The image ends too early.") if failed else None,
        model="played@1",
        worker="played",
        submitted_at=request.submitted_at,
        started_at=now,
        finished_at=now,
        key=dropped_key(request.key),
    )
