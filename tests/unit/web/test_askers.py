"""Requests that ask AWS: they never hold all threads, and leave their seats whatever happens."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
import requests
from flask import Response

from imagefleet_core.jobs import new_batch_id
from imagefleet_web.openapi.document import describe
from imagefleet_web.serving import askers, threads
from imagefleet_web.settings import WebSettings
from served import served
from web_tier import CHELSEA, DEADLINE_S, Answer, Web, World, eventually

# A store that is silent for as long as the test listens at an address, and is answered by nobody.
MUTE = """
import socket
from imagefleet_core.errors import Unavailable

def mute(_batch):
    try:
        with socket.create_connection({address}) as silent:
            silent.recv(1)
    except OSError:
        pass
    raise Unavailable("the silence is over")

world.store.list_results = mute
"""
SETTINGS = WebSettings(max_waiting=1)


def test_health_is_answered_while_a_silent_store_is_asked_by_more_than_there_are_threads(
    tmp_path: Path,
) -> None:
    ask = f"GET /api/v1/batches/{new_batch_id()} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    asked, seats = threads.in_all(SETTINGS) + 11, threads.for_askers(SETTINGS)
    with ExitStack() as stack:
        silence = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
        # a call that waits for its turn does so for longer than this test may take
        server = stack.enter_context(
            served(
                tmp_path / "log",
                MUTE.format(address=silence.getsockname()),
                max_waiting=SETTINGS.max_waiting,
                aws_timeout_s=60,
            )
        )
        clients = [stack.enter_context(server.connect()) for _ in range(asked)]
        for client in clients:
            client.sendall(ask.encode())

        # then those who find no seat are told to come again, the others wait
        eventually(lambda: len(answered(clients)) == asked - seats)
        refused = [read(client) for client in answered(clients)]
        assert {each.split(b"\r\n")[0] for each in refused} == {b"HTTP/1.1 503 SERVICE UNAVAILABLE"}
        assert all(b'"code": "busy"' in each and b"Retry-After: " in each for each in refused)

        # and health is told, of readiness that there is none
        assert requests.get(server.url + "healthz", timeout=DEADLINE_S).status_code == 200
        assert requests.get(server.url, timeout=DEADLINE_S).status_code == 200
        ready = requests.get(server.url + "readyz", timeout=DEADLINE_S)
        assert (ready.status_code, ready.json()["faults"].keys()) == (503, {"threads"})

        # until the store answers
        silence.close()
        eventually(lambda: len(answered(clients)) == asked)
        assert requests.get(server.url + "readyz", timeout=DEADLINE_S).status_code == 200


def answered(clients: list[socket.socket]) -> list[socket.socket]:
    """Return those who have an answer, or had it."""
    return select.select(clients, [], [], 0)[0]


def read(client: socket.socket) -> bytes:
    """Read one answer to the end of its connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


# In one process


@pytest.fixture
def last(world: World) -> Web:
    """A web process with one seat left."""
    web = Web(world, max_waiting=1)
    while web.services.askers.take():
        pass
    web.services.askers.leave()
    return web


def list_while_it_fails(web: Web) -> Answer:
    web.world.store.outage.begin("batches_from", times=1)
    return web.get("/api/v1/batches")


def fail_unforeseen(web: Web) -> Answer:
    history, web.services.history._store = web.services.history._store, None  # type: ignore[assignment]
    try:
        return web.get("/api/v1/batches")
    finally:
        web.services.history._store = history


ASKED: dict[str, tuple[Callable[[Web], Answer], int]] = {
    "an upload": (lambda web: web.upload(("1.jpg", CHELSEA)), 202),
    "an upload that waits": (
        lambda web: web.upload(("1.jpg", CHELSEA), query_string={"wait": "0.01"}),
        202,
    ),
    "an upload that is none": (
        lambda web: web.post("/api/v1/upload", content_type="text/plain", data="x"),
        415,
    ),
    "a batch that is not there": (lambda web: web.get(f"/api/v1/batches/{new_batch_id()}"), 404),
    "no id": (lambda web: web.get("/api/v1/batches/1"), 400),
    "another method": (lambda web: web.request("PUT", "/api/v1/batches"), 405),
    "a store that fails": (list_while_it_fails, 503),
    "a fault of ours": (fail_unforeseen, 500),
    "readiness": (lambda web: web.get("/readyz"), 200),
}


@pytest.mark.parametrize(("ask", "status"), ASKED.values(), ids=ASKED)
def test_a_seat_is_free_again_after(last: Web, ask: Callable[[Web], Answer], status: int) -> None:
    for _ in range(3):
        assert ask(last).status_code == status

    assert last.services.askers.take()
    assert not last.services.askers.take()


@pytest.mark.parametrize("read_on", [False, True], ids=["left at once", "read for a while"])
def test_an_answer_that_is_sent_piece_by_piece_holds_its_seat_to_its_end(
    last: Web, read_on: bool
) -> None:
    batch = last.upload(("1.jpg", CHELSEA)).json["url"]
    for _ in range(3):
        stream = last.get(f"{batch}/events", buffered=False)
        if read_on:
            next(stream.iter_encoded())
        refused = last.get(batch)
        assert (refused.status_code, refused.json["code"]) == (503, "busy")
        assert int(refused.headers["Retry-After"]) > 0

        stream.close()
        assert last.get(batch).status_code == 200


def test_a_seat_is_free_again_though_an_answer_fails_to_close(last: Web) -> None:
    def broken() -> NoReturn:
        raise RuntimeError("an answer that fails to close")

    @last.app.after_request
    def add(answer: Response) -> Response:
        answer.call_on_close(broken)
        return answer

    with pytest.raises(RuntimeError):
        last.get("/api/v1/batches").close()

    assert last.services.askers.take()


def test_who_asks_nobody_needs_no_seat(last: Web) -> None:
    assert last.services.askers.take()

    for path in ("/", "/healthz", "/metrics", "/static/page.js", "/api/v1/openapi.json", "/none"):
        assert last.get(path).status_code == (404 if path == "/none" else 200)
    # as the proxy asks whether a key is valid
    assert last.request("OPTIONS", "/api/v1/upload").status_code == 200
    for path in ("/api/v1/batches", "/api/v1/fleet", "/api/v1/usage"):
        assert last.get(path).json["code"] == "busy"
    assert last.upload(("1.jpg", CHELSEA)).json["code"] == "busy"
    assert last.world.store.images == {}


def test_readiness_tells_that_there_is_no_seat(last: Web) -> None:
    assert last.services.askers.take()

    answer = last.get("/readyz")

    assert (answer.status_code, answer.json["faults"].keys()) == (503, {"threads"})


def test_every_call_that_needs_a_seat_says_that_it_may_be_busy(web: Web) -> None:
    told = describe(web.app)["paths"]
    free = {each.partition(".")[2] for each in askers.ASK_NOBODY}

    for operation in (each for methods in told.values() for each in methods.values()):
        busy = "`busy`" in operation["responses"].get("503", {}).get("description", "")
        assert busy == (operation["operationId"] not in free), operation["operationId"]


def test_as_many_as_may_wait_leave_room_for_a_hundred_others() -> None:
    settings = WebSettings()

    assert threads.for_askers(settings) >= settings.max_waiting + 100
    assert threads.KEPT > 0
