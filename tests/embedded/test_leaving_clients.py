"""Clients that leave, and disks that are full: a web process keeps nothing of them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from place import Place
from system import PHOTOGRAPHS, wait_for
from web_process import WebProcess
from web_tier import CHELSEA, form

pytestmark = pytest.mark.embedded

CLIENTS = 100
# A stream of events looks after its client every five seconds, who waits for a label likewise.
GONE_S = 60
DEADLINE_S = 120
NO_ROOM = "[Errno 27] File too large"
LARGE = CHELSEA + bytes(2_000_000)


@pytest.fixture
def web(place: Place) -> Iterator[WebProcess]:
    # with so few connections to AWS that all of them are there soon
    few = {"IMAGEFLEET_MAX_WAITING": str(CLIENTS), "IMAGEFLEET_AWS_CONNECTIONS": "4"}
    with place.web(**few, IMAGEFLEET_STALL_S=str(DEADLINE_S)) as started:
        yield started
        assert started.stop() == 0
        told = [line for line in started.lines() if line["level"] in {"warning", "error"}]
        assert [line for line in told if line.get("reason") != NO_ROOM] == []


@dataclass(frozen=True)
class Held:
    """What a process holds.

    Attributes:
        files: open files, with connections and spooled uploads.
        spooled: those of them that have no name: spooled uploads, and one of gunicorn's.
        clients: connections of clients.
    """

    threads: int
    files: int
    spooled: int
    clients: int

    @classmethod
    def by(cls, web: WebProcess) -> Held:
        """Return what the server process holds now."""
        server, (_, port) = web.server(), web.address
        names = [link(file) for file in Path(f"/proc/{server.pid}/fd").iterdir()]
        connections = server.net_connections("tcp")
        return cls(
            threads=server.num_threads(),
            files=len(names),
            spooled=sum(name.endswith("(deleted)") for name in names),
            clients=sum(each.laddr.port == port and bool(each.raddr) for each in connections),
        )


def link(file: Path) -> str:
    """Return what an open file is; nothing if it was closed meanwhile."""
    try:
        return str(file.readlink())
    except FileNotFoundError:
        return ""


def leave(connections: list[socket.socket]) -> None:
    """Close half of some connections in order, and reset the others."""
    for number, connection in enumerate(connections):
        if number % 2:
            lingering = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
        connection.close()


def connect(web: WebProcess, request: bytes) -> socket.socket:
    """Send some bytes on a connection of their own."""
    connection = socket.create_connection(web.address, timeout=DEADLINE_S)
    connection.sendall(request)
    return connection


def half_an_upload(number: int) -> bytes:
    """Return the first half of an upload: of a form or an image, one too large for memory."""
    if number % 2:
        body, kind = form([("file", "whole.jpg", CHELSEA), ("file", "half.jpg", LARGE)])
    else:
        body, kind = LARGE, "image/jpeg"
    head = f"POST /api/v1/upload HTTP/1.1\r\nHost: web\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2]


def test_nothing_is_left_of_clients_who_leave_amid_their_uploads(
    place: Place, web: WebProcess
) -> None:
    def come_and_leave() -> Held:
        clients = [connect(web, half_an_upload(number)) for number in range(CLIENTS)]
        wait_for(lambda: Held.by(web).spooled == before.spooled + CLIENTS, DEADLINE_S)
        leave(clients)
        wait_for(lambda: Held.by(web).clients == 0, DEADLINE_S)
        return Held.by(web)

    before = Held.by(web)
    first, second = come_and_leave(), come_and_leave()

    # then they have left no growth: threads are kept for whoever comes next
    assert first.spooled == second.spooled == before.spooled
    check_no_growth(first, second)
    assert place.stored() == set()
    assert place.queued() == []
    assert web.accepted() == 0
    assert web.upload(PHOTOGRAPHS).status_code == 202


def check_no_growth(first: Held, second: Held) -> None:
    """Check that a process holds no more than before, but for a connection to AWS or two."""
    assert second.threads <= first.threads + 3, (first, second)
    assert second.files <= first.files + 3, (first, second)


def waiting(web: WebProcess, number: int) -> Callable[[], socket.socket]:
    """Return what begins to wait: for a label, for a batch, for a job, or for events."""
    (known,) = web.upload([("known.jpg", CHELSEA)]).json()["jobs"]
    body, kind = form([("file", f"{number}.jpg", CHELSEA)])
    form_head = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    asked = [
        (f"POST /?wait=300 HTTP/1.1\r\nHost: web\r\n{form_head}\r\n", body),
        (f"POST /api/v1/upload?wait=300 HTTP/1.1\r\nHost: web\r\n{form_head}\r\n", body),
        (f"GET {known['url']}?wait=300 HTTP/1.1\r\nHost: web\r\n\r\n", b""),
        (f"GET /api/v1/batches/{known['batch']}/events HTTP/1.1\r\nHost: web\r\n\r\n", b""),
    ]
    head, body = asked[number % 4]
    return lambda: connect(web, head.encode() + body)


def test_whoever_leaves_while_waiting_gives_the_seat_and_the_thread_back(
    place: Place, web: WebProcess
) -> None:
    begin = [waiting(web, number) for number in range(CLIENTS)]

    def come_and_leave() -> Held:
        clients = [each() for each in begin]
        wait_for(lambda: web.waiting() == CLIENTS, DEADLINE_S)
        assert web.upload([("cat.jpg", CHELSEA)], "").status_code == 503  # no seat is free
        leave(clients)
        wait_for(lambda: web.waiting() == 0, GONE_S)
        wait_for(lambda: Held.by(web).clients == 0, DEADLINE_S)
        return Held.by(web)

    first, second = come_and_leave(), come_and_leave()

    check_no_growth(first, second)
    # and what they uploaded was whole, and is kept
    uploads = 2 * CLIENTS // 2 + CLIENTS
    assert web.accepted() == len(place.stored()) == uploads
    assert len(place.queued()) == uploads


def test_an_upload_for_which_there_is_no_room_is_refused_and_others_go_on(
    place: Place, web: WebProcess
) -> None:
    # given a disk on which no file may be large
    server, before = web.server(), Held.by(web)
    _, most = server.rlimit(psutil.RLIMIT_FSIZE)
    server.rlimit(psutil.RLIMIT_FSIZE, (1_000_000, most))

    for path in ("", "api/v1/upload"):
        full = web.upload([("large.jpg", LARGE)], path, key="full")
        assert full.status_code == 503
        assert "no room" in full.text
        assert int(full.headers["Retry-After"]) > 0
    assert web.upload([("small.jpg", CHELSEA)]).status_code == 202

    # then nothing of it is kept, and it is accepted once there is room
    assert Held.by(web).spooled == before.spooled
    assert len(place.stored()) == 1
    server.rlimit(psutil.RLIMIT_FSIZE, (most, most))
    assert web.upload([("large.jpg", LARGE)], key="full").status_code == 202
    assert {line["reason"] for line in web.events("no room for an upload")} == {NO_ROOM}
