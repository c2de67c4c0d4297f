"""The real server in a process of its own, over the fakes; and its entry point."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from imagefleet_core.jobs import new_batch_id
from imagefleet_web.keys import make
from served import ENVIRON, Served, served
from web_tier import CHELSEA, DEADLINE_S, eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "log") as server:
        yield server


def test_an_answer_that_cannot_be_finished_is_cut_off_and_said_in_a_line(tmp_path: Path) -> None:
    # given a result that is listed but can't be read
    batch = new_batch_id()
    prepare = f"""
from datetime import UTC, datetime
from imagefleet_core.jobs import JobId, Request
world.finish([Request(JobId("{batch}", 1), "inbox/a.jpg", "a.jpg", None, datetime.now(UTC))])
world.store.outage.begin("get_result")
"""
    with served(tmp_path / "log", prepare) as server:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(f"{server.url}api/v1/batches/{batch}/results.csv", timeout=DEADLINE_S)

        eventually(lambda: server.events("answer cut off"))
        assert not [line for line in server.lines() if line["level"] == "error"]
        assert requests.get(server.url + "healthz", timeout=DEADLINE_S).status_code == 200


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_stops_answers_all_who_wait(server: Served, sent: signal.Signals) -> None:
    # given thirty uploads that wait
    with ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(server.upload, "20") for _ in range(30)]
        eventually(lambda: len(server.events("upload accepted")) == 30)

        server.process.send_signal(sent)

        # then each gets what there is, and the server ends well
        assert [each.result().status_code for each in asked] == [202] * 30
    assert server.process.wait(DEADLINE_S) == 0
    assert len(server.events("stopped")) == 1
    assert not [line for line in server.lines() if line["level"] in {"warning", "error"}]


def test_several_processes_serve_one_port_with_a_queue_each(tmp_path: Path) -> None:
    with served(tmp_path / "log", processes=2) as server:
        eventually(lambda: len(server.events("replies queue made")) == 2)
        assert server.upload().status_code == 202

    assert len({line["queue"] for line in server.events("replies queue made")}) == 2
    assert len(server.events("stopped")) == 2


def test_others_are_answered_while_as_many_wait_as_may(tmp_path: Path) -> None:
    with served(tmp_path / "log", max_waiting=20) as server, ThreadPoolExecutor(40) as pool:
        # given twice as many who want to wait
        asked = [pool.submit(server.upload, "20") for _ in range(40)]
        eventually(lambda: len(server.events("upload accepted")) == 40)
        eventually(lambda: sum(each.done() for each in asked) == 20)

        assert requests.get(server.url + "healthz", timeout=DEADLINE_S).ok
        assert server.upload(path="").status_code == 503
        server.process.terminate()

    assert {each.result().status_code for each in asked} == {202}


def test_a_client_that_stalls_amid_its_upload_is_cut_off(tmp_path: Path) -> None:
    with served(tmp_path / "log", stall_s=0.3) as server, server.connect() as client:
        client.sendall(
            b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
            b"Content-Length: 1000000\r\n\r\n" + CHELSEA[:5000]
        )

        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "too_slow"' in answer
    assert_no_traceback(server)


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"5\r\nhello?", b"ffffffffffffffff"])
def test_a_body_whose_chunks_are_broken_is_the_clients_fault(server: Served, chunk: bytes) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk
        )
        client.shutdown(socket.SHUT_WR)

        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert_no_traceback(server)


def test_a_client_that_leaves_amid_its_upload_is_no_fault(server: Served) -> None:
    for _ in range(3):
        with server.connect() as client:
            client.sendall(
                b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: 1000000\r\n\r\n" + CHELSEA[:5000]
            )

    eventually(lambda: len(server.events("request")) == 3)
    assert {line["status"] for line in server.events("request")} == {400}
    assert server.events("upload accepted") == []
    assert server.upload().status_code == 202
    assert_no_traceback(server)


def test_an_upload_in_chunks_is_accepted(server: Served) -> None:
    pieces = (CHELSEA[at : at + 10_000] for at in range(0, len(CHELSEA), 10_000))

    answer = requests.post(
        server.url + "api/v1/upload",
        data=pieces,
        headers={"Content-Type": "image/jpeg"},
        timeout=DEADLINE_S,
    )

    assert answer.status_code == 202


def test_keys_guard_a_running_server_change_under_it_and_never_reach_its_log(
    tmp_path: Path,
) -> None:
    # given a server with one key, and a second one that is added while it runs
    keys = tmp_path / "keys.txt"
    (alice, alice_line), (bob, bob_line) = make("alice"), make("bob")
    keys.write_text(f"{alice_line}\n")
    with served(tmp_path / "log", api_keys_file=str(keys)) as server:
        batches = server.url + "api/v1/batches"

        def status(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return requests.get(batches, headers=headers, timeout=DEADLINE_S).status_code

        assert [status(alice), status(bob), server.upload().status_code] == [200, 401, 401]
        keys.write_text(f"{alice_line}\n{bob_line}\n")
        eventually(lambda: status(bob) == 200)
        keys.write_text("broken\n")
        stays = "file can't be used, all stays as it was"
        eventually(lambda: status(alice) == 200 and server.events(stays))

        # and a header that is malformed, which the server itself refuses
        with server.connect() as client:
            client.sendall(f"GET / HTTP/1.1\r\nAuthorization Bearer {alice}\r\n\r\n".encode())
            assert read_all(client).startswith(b"HTTP/1.1 400 ")
        eventually(lambda: server.events("request refused"))

        log = server.log.read_text()
        assert alice not in log
        assert bob not in log
        assert len(server.events(stays)) == 1


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def assert_no_traceback(server: Served) -> None:
    assert "Traceback" not in server.log.read_text()
    assert not [line for line in server.lines() if line["level"] == "error"]


def start(*arguments: str, without: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point until it ends by itself."""
    command = [sys.executable, "-m", "imagefleet_web", *arguments]
    environ = {name: value for name, value in (ENVIRON | environ).items() if name != without}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=DEADLINE_S)


def test_help_tells_every_setting() -> None:
    ended = start("--help")

    assert ended.returncode == 0
    for name in ("IMAGEFLEET_PORT", "IMAGEFLEET_MAX_WAITING", "IMAGEFLEET_PREFIX"):
        assert name in ended.stdout


def test_all_wrong_settings_are_told_together() -> None:
    ended = start(IMAGEFLEET_PORT="http", IMAGEFLEET_MAX_FILES="0")

    assert ended.returncode == 2
    assert [line.split(" ")[0] for line in ended.stderr.splitlines()] == [
        "IMAGEFLEET_PORT",
        "IMAGEFLEET_MAX_FILES",
    ]


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = start(IMAGEFLEET_PORT=str(port))

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["reason"] == (
        f"cannot listen at 127.0.0.1:{port}: Address already in use"
    )


def test_a_file_of_keys_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    ended = start(IMAGEFLEET_PORT="0", IMAGEFLEET_API_KEYS_FILE=str(tmp_path / "keys.txt"))

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "keys.txt can't be read" in json.loads(line)["reason"]


def test_a_folder_that_takes_no_uploads_is_one_clear_line(tmp_path: Path) -> None:
    ended = start(IMAGEFLEET_PORT="0", IMAGEFLEET_SPOOL_DIR=str(tmp_path / "none"))

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["reason"] == (
        f"IMAGEFLEET_SPOOL_DIR is '{tmp_path}/none': expected a folder that can be written to "
        "(No such file or directory)"
    )


def test_a_missing_region_is_one_clear_line() -> None:
    ended = start(IMAGEFLEET_PORT="0", without="AWS_DEFAULT_REGION")

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "set AWS_DEFAULT_REGION" in json.loads(line)["reason"]
