"""What a stranger may send to a running server: requests in requests, and headers in disguise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefleet_web.keys import make
from served import Served, served
from web_tier import DEADLINE_S

SMUGGLED = b"GET /api/v1/usage HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("web") / "log") as server:
        yield server


def everything(server: Served, request: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes the connection."""
    with server.connect() as client:
        client.settimeout(DEADLINE_S)
        client.sendall(request)
        received = b""
        while piece := client.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 40",
        b"Content-Length: +4",
        b"Content-Length: 4_0",
        b"Content-Length: 4, 4",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding : chunked",
        b"Content-Length : 4",
        b"X-Padding: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 4, 0",
        b"Transfer-Encoding: \x0bchunked",
        b"X: a\nTransfer-Encoding: chunked\r\nContent-Length: x",
    ],
)
def test_a_body_of_two_lengths_is_refused_and_nothing_behind_it_is_answered(
    server: Served, headers: bytes
) -> None:
    request = b"POST /api/v1/uploads HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n0\r\n\r\n"

    answer = everything(server, request + SMUGGLED)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.split()[1] in {b"400", b"501"}
    assert b"images_per_minute" not in answer


def test_a_header_in_disguise_is_no_key_and_no_address(tmp_path: Path) -> None:
    key, line = make("alice")
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{line}\n")
    with served(tmp_path / "log", api_keys_file=str(keys), trusted_proxies=0) as server:

        def asked(header: str) -> bytes:
            request = (
                f"GET /api/v1/usage HTTP/1.1\r\nHost: a\r\n{header}\r\nConnection: close\r\n\r\n"
            )
            return everything(server, request.encode())

        # underscores become dashes on the way to a WSGI application, unless they are dropped
        assert b" 200 " in asked(f"X-Api-Key: {key}")
        for header in (f"X_Api_Key: {key}", f"X-Api_Key: {key}"):
            assert asked(header).split()[1] in {b"400", b"401"}, header


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "TRACK", "PROPFIND", "PRI"])
def test_methods_that_nobody_needs_do_nothing(server: Served, method: str) -> None:
    request = f"{method} / HTTP/1.1\r\nHost: a\r\nX-Secret: s3cr3t\r\nConnection: close\r\n\r\n"

    answer = everything(server, request.encode())

    assert answer.split()[1] in {b"400", b"405", b"501"}
    assert b"s3cr3t" not in answer


def test_nothing_in_a_path_becomes_a_line_of_its_own_in_the_log(server: Served) -> None:
    forged = json.dumps({"event": "upload accepted", "client": "alice"})
    path = f"/nowhere%0d%0a{forged.replace(' ', '%20')}%1b[2J%e2%80%a8"

    answer = everything(
        server, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )

    assert answer.split()[1] == b"404"
    assert not server.events("upload accepted")  # each line is an object, as `lines` makes sure
    raw = server.log.read_bytes()
    assert b"\x1b" not in raw
    assert raw.count(b"/nowhere") == 1
