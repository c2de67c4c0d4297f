"""The web tier over the fakes on a port of its own, for tests of the page.

The test plays the worker and the scaler, so that it can look at the page at any moment of theirs.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

from werkzeug.serving import ThreadedWSGIServer

from imagefleet_core import replies
from imagefleet_core.fleet import (
    CostReport,
    DecisionReport,
    FleetReport,
    Point,
    QueueReport,
    WorkerReport,
)
from imagefleet_core.jobs import Failure, Request
from imagefleet_core.keys import FLEET_REPORT
from web_tier import Web, World, result_of

HOST = "127.0.0.1"
STEP = timedelta(seconds=5)
HOUR_USD = 0.0208


class _Server(ThreadedWSGIServer):
    """A server that knows its connections."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def break_off(self) -> None:
        """Break off whatever is under way."""
        for connection in self._connections:
            with suppress(OSError):  # it is closed
                connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Stage:
    """A web process that a browser can reach, and what is behind it."""

    web: Web
    world: World
    port: int
    server: _Server | None = None
    held: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.port}/"

    def finish(self, count: int) -> None:
        """Have a worker answer the next `count` images: see `web_tier.result_of`."""
        self.world.finish(self.take(count))

    def take(self, count: int) -> list[Request]:
        """Have a worker take the next `count` images; a queue may give more of them at once."""
        self.held += self.world.take(max(0, count - len(self.held)))
        taken, self.held = self.held[:count], self.held[count:]
        return taken

    def fail(self, count: int) -> None:
        """Have a worker fail the next `count` images for a reason that may pass."""
        error = Failure("worker_crashed", "The worker ended before it had a result.")
        for request in self.take(count):
            failed = replace(result_of(request), top=(), output=None, error=error)
            self.world.store.put_result(failed)
            self.world.queues.open(request.reply_to or "").send([replies.encode(failed)])

    def tell(self, report: FleetReport) -> None:
        """Have the scaler write its report."""
        note = self.world.store.read_note(FLEET_REPORT)
        version = note.version if note else ""
        assert self.world.store.write_note(FLEET_REPORT, report.encode().encode(), version)

    def start(self) -> None:
        """Answer requests, again on the same port."""
        self.server = _Server(HOST, self.port, self.web.app)
        self.port = self.server.port
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer nobody, and break all connections off, as if the host were gone."""
        assert self.server
        self.server.shutdown()
        self.server.server_close()
        self.server.break_off()
        self.server = None


@contextmanager
def set_up(**settings: Any) -> Iterator[Stage]:
    """Run a web process over fakes of its own."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not each request
    world = World()
    web = Web(world, **settings)
    stage = Stage(web, world, port=0)
    web.services.background.start()
    stage.start()
    try:
        yield stage
    finally:
        web.services.close()
        if stage.server:
            stage.stop()


def resting(now: datetime | None = None) -> FleetReport:
    """Return the report of a scaler that has nothing to do, and never had."""
    return FleetReport(
        at=now or datetime.now(UTC),
        fresh_s=None,
        queue=QueueReport(0, 0, 0, None),
        workers=(),
        desired=0,
        min_workers=0,
        max_workers=20,
        decisions=(),
        cost=None,
        history=(),
        done=0,
    )


def busy(now: datetime | None = None, fresh_s: float = 60) -> FleetReport:
    """Return a report from the middle of a large burst, with a worker in each phase."""
    now = now or datetime.now(UTC)
    phases = ("busy", "busy", "idle", "booting", "draining", "lost")
    decisions = (
        DecisionReport(now - 2 * STEP, 6, 2, 0, "420 images wait; 6 workers answer them in 10 s."),
        DecisionReport(now - 30 * STEP, 4, 4, 0, "The first images have come."),
        DecisionReport(now - 90 * STEP, 0, 0, 3, "Nothing was needed for 60 s."),
    )
    return replace(
        resting(now),
        fresh_s=fresh_s,
        queue=QueueReport(visible=420, in_flight=36, delayed=0, oldest_s=1.5),
        workers=tuple(_worker(number, phase, now) for number, phase in enumerate(phases, 1)),
        desired=6,
        decisions=decisions,
        cost=CostReport(6 * HOUR_USD, 0.0341, now - timedelta(days=2)),
        history=tuple(_point(now - STEP * ago) for ago in reversed(range(1, 360))),
        done=12_345,
    )


def _worker(number: int, phase: str, now: datetime) -> WorkerReport:
    launched = WorkerReport(f"worker-{number}", phase, now - STEP * 20)
    if phase == "booting":
        return launched
    return replace(
        launched,
        in_flight=18 if phase == "busy" else 0,
        done=1200,
        failed=number // 6,
        service_s=0.015,
        images_per_s=41.2 if phase == "busy" else None,
    )


def _point(at: datetime) -> Point:
    wave = max(0.0, math.sin(at.timestamp() / 200))
    desired = math.ceil(6 * wave)
    return Point(
        at=at,
        waiting=int(420 * wave),
        in_flight=int(36 * wave),
        workers=desired,
        ready=max(0, desired - 1),
        desired=desired,
        done=12_345,
    )
