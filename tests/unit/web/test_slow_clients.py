"""Clients that are slow, malformed or never done, against the real server over real sockets."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from imagefleet_core.jobs import JobId, new_batch_id
from imagefleet_core.keys import input_key
from served import Served, served
from web_tier import CHELSEA, DEADLINE_S, eventually

HEADERS_S, STALL_S, RATE = 0.6, 0.4, 50_000
STEP_S = 0.05
# Of the patient server, whose clients are in time by far more than a machine may pause.
PATIENT_HEADERS_S, PATIENT_STALL_S, PATIENT_RATE = 2.5, 2, 5000
PATIENT_STEP_S = 0.2
UPLOAD = b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
# An image in the store that no buffer on its way holds.
LARGE, LARGE_BYTES = JobId(new_batch_id(), 1), 12_000_000
STORE_LARGE = f"""
from web_tier import CHELSEA
image = CHELSEA.ljust({LARGE_BYTES})
world.store.put_image("{input_key(LARGE, "large.jpg")}", image, "image/jpeg")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that is impatient, so that the tests are quick, with 129 threads."""
    patience = {"headers_s": HEADERS_S, "stall_s": STALL_S, "min_upload_bytes_per_s": RATE}
    yield from faultless(
        tmp_path_factory.mktemp("server") / "log", STORE_LARGE, max_waiting=1, **patience
    )


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with time for clients that are slow but not too slow."""
    yield from faultless(
        tmp_path_factory.mktemp("patient") / "log",
        headers_s=PATIENT_HEADERS_S,
        stall_s=PATIENT_STALL_S,
        min_upload_bytes_per_s=PATIENT_RATE,
    )


def faultless(log: Path, prepare: str = "", **settings: Any) -> Iterator[Served]:
    """Run a server that must not log any fault of its own."""
    with served(log, prepare, **settings) as server:
        yield server
        assert "Traceback" not in log.read_text()
        assert not [line for line in server.lines() if line["level"] == "error"]


def answered(client: socket.socket, within_s: float) -> bool:
    """Wait for an answer, or the end of the connection."""
    return bool(select.select([client], [], [], within_s)[0])


def trickle(client: socket.socket, data: bytes, pieces: int, step_s: float = STEP_S) -> float:
    """Send data piece by piece until it is answered; return after how many seconds that was."""
    began, size = time.monotonic(), -(-len(data) // pieces)
    for start in range(0, len(data), size):
        client.sendall(data[start : start + size])
        if answered(client, step_s):
            break
    assert answered(client, DEADLINE_S)
    return time.monotonic() - began


def read(client: socket.socket) -> tuple[int, Any]:
    """Read one answer to the end of its connection; return its status and JSON."""
    client.settimeout(DEADLINE_S)
    head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    told = dict(line.split(": ", 1) for line in headers)
    assert told["Content-Type"] in {"application/problem+json", "application/json"}
    assert told["X-Content-Type-Options"] == "nosniff"
    assert int(told["Content-Length"]) == len(body)
    return int(status.split(" ")[1]), json.loads(body)


def test_headers_that_stop_on_their_way_are_not_waited_for(server: Served) -> None:
    with server.connect() as client:
        client.sendall(HEALTH + b"X-Half: ")

        status, told = read(client)

    assert (status, told["code"]) == (408, "too_slow")
    assert "0.6 s" in told["detail"]


def test_headers_that_trickle_in_have_no_more_time_than_others(server: Served) -> None:
    with server.connect() as client:
        seconds = trickle(client, b"GET /healthz HTTP/1.1\r\nX-Slow: " + b"x" * 1000, pieces=1000)

        assert read(client)[0] == 408
    assert seconds > HEADERS_S / 2


def test_each_request_of_a_connection_has_its_own_time(patient: Served) -> None:
    pause_s = 2
    with patient.connect() as new, patient.connect() as used:
        # given two connections that are silent for a while, one after a request
        used.sendall(HEALTH + b"\r\n")
        assert_healthy(used)
        assert not answered(new, pause_s)

        # then headers that would be too late by now, and are slow, are in time
        for client in (new, used):
            seconds = trickle(client, HEALTH + b"\r\n", pieces=4, step_s=PATIENT_STEP_S)
            assert_healthy(client)
            assert pause_s + seconds > PATIENT_HEADERS_S


def assert_healthy(client: socket.socket) -> None:
    """Read one answer of a connection that stays open."""
    told = b""
    while not told.endswith(b'{"status":"ok"}\n'):
        piece = client.recv(65536)
        assert piece, told
        told += piece
    assert told.startswith(b"HTTP/1.1 200 ")


def test_a_body_that_trickles_in_is_cut_off_though_it_never_stops(server: Served) -> None:
    with server.connect() as client:
        client.sendall(UPLOAD + b"Content-Length: 1000000\r\n\r\n")

        seconds = trickle(client, b"x" * 1000, pieces=1000)

        status, told = read(client)
    assert (status, told["code"]) == (408, "too_slow")
    assert STALL_S / 2 < seconds < DEADLINE_S


@pytest.mark.parametrize("chunk", [b"", b"ffff\r\nxxxx"], ids=["before", "within"])
def test_chunks_that_stop_on_their_way_are_not_waited_for(server: Served, chunk: bytes) -> None:
    with server.connect() as client:
        client.sendall(UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)

        status, told = read(client)

    assert (status, told["code"]) == (408, "too_slow")


def test_a_form_that_stops_on_its_way_is_not_waited_for(server: Served) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: "
        )

        status, told = read(client)

    assert (status, told["code"]) == (408, "too_slow")


def test_a_list_of_files_that_stops_on_its_way_is_not_waited_for(server: Served) -> None:
    with server.connect() as client:
        client.sendall(
            b'POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"files": ['
        )

        status, told = read(client)

    assert (status, told["code"]) == (408, "too_slow")


def test_an_upload_that_keeps_its_rate_may_take_longer_than_a_stall(patient: Served) -> None:
    with patient.connect() as client:
        head = UPLOAD + f"Connection: close\r\nContent-Length: {len(CHELSEA)}\r\n\r\n".encode()
        client.sendall(head)

        seconds = trickle(client, CHELSEA, pieces=12, step_s=PATIENT_STEP_S)

        assert read(client)[0] == 202
    assert seconds > PATIENT_STALL_S


def test_an_answer_that_nobody_takes_is_not_kept_up(server: Served) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(DEADLINE_S)
        address = urlsplit(server.url)
        client.connect((address.hostname, address.port))
        client.sendall(f"GET /api/v1/jobs/{LARGE}/image HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        # when its answer begins, and is not read until the server has given up
        assert answered(client, DEADLINE_S)
        eventually(lambda: not connections(server))

        taken = sum(map(len, iter(lambda: receive(client), b"")))
    assert taken < LARGE_BYTES


def connections(server: Served) -> list[Any]:
    """Return the connections that the server's process holds."""
    (worker,) = psutil.Process(server.process.pid).children()
    return [each for each in worker.net_connections("tcp") if each.status != psutil.CONN_LISTEN]


def receive(client: socket.socket) -> bytes:
    try:
        return client.recv(1_000_000)
    except ConnectionResetError:
        return b""


def test_as_many_slow_clients_as_there_are_threads_hold_nobody_up_for_long(server: Served) -> None:
    with ExitStack() as stack:
        # given more of them than threads: half stop in their headers, half in a body
        clients = [stack.enter_context(server.connect()) for _ in range(160)]
        for number, client in enumerate(clients):
            client.sendall(UPLOAD + b"Content-Length: 9\r\n\r\n" if number % 2 else HEALTH)

        health = requests.get(server.url + "healthz", timeout=DEADLINE_S)

        assert health.status_code == 200
        assert {read(client)[0] for client in clients} == {408}


def test_clients_that_leave_their_connections_open_hold_nobody_up(server: Served) -> None:
    seconds = 0.0
    with ExitStack() as stack:
        # given some that were told to close theirs
        for _ in range(5):
            client = stack.enter_context(server.connect())
            client.sendall(HEALTH + b"Connection: close\r\n\r\n")
            assert answered(client, DEADLINE_S)

            began = time.monotonic()
            assert requests.get(server.url + "healthz", timeout=DEADLINE_S).status_code == 200
            seconds += time.monotonic() - began

    # then the next one was served at once, and not each time after two seconds of lingering
    assert seconds < 6


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"nonsense secret\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nNo colon secret\r\n\r\n", 400, "malformed_request"),
        (b"GET /secret" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (HEALTH + b"X: secret" + b"x" * 10_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (HEALTH + b"X: secret\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
        (UPLOAD + b"Transfer-Encoding: secret\r\n\r\n", 501, "unsupported_coding"),
        (HEALTH + b"Expect: secret\r\n\r\n", 417, "expectation_failed"),
    ],
    ids=["request", "header", "url", "long", "many", "coding", "expectation"],
)
def test_what_is_no_request_is_a_problem_and_not_quoted(
    server: Served, sent: bytes, status: int, code: str
) -> None:
    with server.connect() as client:
        client.sendall(sent)

        told = read(client)

    assert (told[0], told[1]["code"]) == (status, code)
    assert "secret" not in json.dumps(told[1])
    eventually(lambda: code in {line.get("code") for line in server.events("request refused")})
    assert "secret" not in server.log.read_text()
