"""The store's own way to S3, over a real socket with everything that may go wrong there."""

from __future__ import annotations

import gc
import io
import os
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

import s3_server
from imagefleet_core import connections, objects
from imagefleet_core.aws import S3_READ_TIMEOUT_S, Aws
from imagefleet_core.errors import Misconfigured, ObjectMissing, ObjectTooLarge, Unavailable
from imagefleet_core.jobs import Failure, JobId, Result, new_batch_id
from imagefleet_core.places import Place, find
from imagefleet_core.s3 import S3Store
from s3_server import REGION, Handler, S3Server, break_off, error_xml, refuse

NOW = datetime(2026, 1, 31, 12, 0, 0, 0, UTC)
KEY = "a/0001-cat.jpg"


def failed() -> Result:
    failure = Failure("truncated", "the file ends too early")
    return Result(JobId(new_batch_id(), 1), "cat.jpg", (), failure, "net@1", "w1", NOW, NOW, NOW)


@pytest.fixture
def pauses() -> list[float]:
    """How long the store would have waited before it tried again."""
    return []


def connect(
    attempts: int,
    secret: str = s3_server.SECRETS["test"],
    pauses: list[float] | None = None,
    silent_s: float = S3_READ_TIMEOUT_S,
) -> S3Store:
    """Return a store of its own, with room for four connections."""
    session = boto3.Session("test", secret, region_name=REGION)
    client = Aws(session, attempts=attempts, silent_s=silent_s).s3(4)
    pause = ([] if pauses is None else pauses).append
    return S3Store(client, input_bucket="input", results_bucket="results", pause=pause)


@pytest.fixture
def store(s3: S3Server, pauses: list[float]) -> S3Store:
    """A store that tries thrice, with one image in it, and nothing said yet."""
    store = connect(3, pauses=pauses)
    store.put_image(KEY, b"a cat", "image/jpeg")
    s3.hang_up()
    s3.requests.clear()
    s3.connections = 0
    return store


def test_what_boto3_stored_is_found_and_the_other_way_round(store: S3Store, aws: Aws) -> None:
    for key in ("inbox/a cat.jpg", "inbox/Kätzchen 猫.jpg", "inbox//./../~(1)*'!+%20&=?#.jpg"):
        aws.s3(1).put_object(Bucket="input", Key=key, Body=b"theirs")
        assert store.get_image(key, max_bytes=100) == b"theirs"

        store.put_image(key, b"ours", "image/png")
        found = aws.s3(1).get_object(Bucket="input", Key=key)
        assert (found["Body"].read(), found["ContentType"]) == (b"ours", "image/png")


def test_one_connection_does_for_one_call_after_the_other(store: S3Store, s3: S3Server) -> None:
    for number in range(5):
        store.put_image(f"a/{number}.jpg", b"cat", "image/jpeg")
        assert store.get_image(f"a/{number}.jpg", max_bytes=3) == b"cat"
    store.ping()
    with pytest.raises(ObjectMissing):
        store.get_image("a/nowhere.jpg", max_bytes=3)
    assert store.get_result(JobId(new_batch_id(), 1)) is None

    assert s3.connections == 1


def test_threads_do_not_get_into_each_others_way(store: S3Store) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            store.put_image(f"a/{number}", str(number).encode() * 1000, "image/jpeg")
            seen.append(store.get_image(f"a/{number}", 10_000) == str(number).encode() * 1000)

    seen: list[bool] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [True] * 160


def test_an_image_is_read_piece_by_piece_over_one_connection(store: S3Store, s3: S3Server) -> None:
    pieces = [store.read_image(KEY, start, 2) for start in (0, 2, 4)]

    assert [piece.data for piece in pieces] == [b"a ", b"ca", b"t"]
    assert {piece.size for piece in pieces} == {5}
    assert store.read_image(KEY, 5, 2).data == b""
    with pytest.raises(ObjectMissing):
        store.read_image("a/nowhere.jpg", 0, 2)
    assert s3.connections == 1


def test_a_piece_of_an_image_is_tried_again_too(store: S3Store, s3: S3Server) -> None:
    s3.faults += [refuse(503, "SlowDown"), s3_server.hang_up]

    assert store.read_image(KEY, 2, 2).data == b"ca"


def test_a_bucket_is_looked_for_once_however_many_threads_begin(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def counted(client: Any, bucket: str) -> Place:
        found.append(bucket)
        return find(client, bucket)

    monkeypatch.setattr(objects, "find", counted)
    connect(3).put_image(KEY, b"a cat", "image/jpeg")
    found.clear()
    store, together = connect(3), threading.Barrier(8)

    def work() -> bytes:
        together.wait(10)
        return store.get_image(KEY, max_bytes=100)

    with ThreadPoolExecutor(8) as pool:
        bodies = [each.result() for each in [pool.submit(work) for _ in range(8)]]

    assert (bodies, found) == ([b"a cat"] * 8, ["input"])


def test_a_connection_closed_while_idle_is_no_failure(
    store: S3Store, s3: S3Server, pauses: list[float]
) -> None:
    store.get_image(KEY, max_bytes=100)
    s3.hang_up()

    assert store.get_image(KEY, max_bytes=100) == b"a cat"

    # and if it is closed at the very moment of the next request
    s3.faults.append(s3_server.hang_up)
    assert store.get_image(KEY, max_bytes=100) == b"a cat"
    assert len(pauses) == 1


def test_no_more_connections_are_kept_than_the_client_was_made_for(
    store: S3Store, s3: S3Server
) -> None:
    # given eight that were in use at once, of a client for four
    together = threading.Barrier(8)

    def wait(size: int) -> None:
        together.wait(10)

    threads = [threading.Thread(target=store.get_image, args=(KEY, 100, wait)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert s3.connections == 8
    kept = store._objects._calls._connections[s3.url]._pool.pool
    assert kept is not None
    assert len([connection for connection in kept.queue if connection]) == 4


@pytest.mark.parametrize(
    "fault",
    [
        refuse(503, "SlowDown"),
        refuse(503, "ServiceUnavailable"),
        refuse(500, "InternalError"),
        refuse(429, "TooManyRequests"),
        refuse(400, "RequestTimeout"),
        lambda handler: handler.send(502, b"<html>Bad Gateway</html>"),
        s3_server.hang_up,
    ],
)
def test_what_passes_is_tried_again(
    store: S3Store, s3: S3Server, pauses: list[float], fault: s3_server.Fault
) -> None:
    s3.faults += [fault, fault]

    assert store.get_image(KEY, max_bytes=100) == b"a cat"

    first, second = pauses
    assert 0 <= first <= 1
    assert 0 <= second <= 2


def test_what_does_not_pass_in_time_is_said(
    store: S3Store, s3: S3Server, pauses: list[float]
) -> None:
    s3.faults += [refuse(503, "SlowDown")] * 3

    reason = f"fetching {KEY}: GetObject answered SlowDown: SlowDown it is"
    with pytest.raises(Unavailable, match=reason) as caught:
        store.get_image(KEY, max_bytes=100)

    assert not isinstance(caught.value, Misconfigured)
    assert len(s3.requests) == 3
    assert len(pauses) == 2


def test_a_server_that_is_silent_is_not_waited_for_forever(s3: S3Server) -> None:
    store = connect(attempts=1, silent_s=0.1)
    released = threading.Event()
    s3.faults.append(s3_server.stay_silent(released))
    s3.faults.append(late_body(released))

    for _ in range(2):
        with pytest.raises(Unavailable, match=f"{s3.url} stopped answering") as caught:
            store.get_image(KEY, max_bytes=100)
        # and not since the server hung up in the end
        assert isinstance(caught.value.__cause__, ReadTimeoutError)
    released.set()


def late_body(released: threading.Event) -> s3_server.Fault:
    def fault(handler: Handler) -> None:
        handler.send(200, b"a ", {"Content-Length": 5})
        released.wait(10)
        handler.reset()

    return fault


def test_a_body_that_comes_drop_by_drop_is_not_waited_for_forever(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BODY_S", 0.1)
    store = connect(attempts=1)
    stopped = threading.Event()

    def drop_by_drop(handler: Handler) -> None:
        handler.send(200, b"", {"Content-Length": 10_000})
        while not stopped.wait(0.01):
            handler.wfile.write(b".")
        handler.reset()

    s3.faults.append(drop_by_drop)

    with pytest.raises(Unavailable, match=f"{s3.url} stopped answering"):
        store.get_image(KEY, max_bytes=10_000)
    stopped.set()


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("length", [6, 10_000_000])
def test_a_body_that_ends_early_is_no_image(
    store: S3Store, s3: S3Server, *, length: int, reset: bool
) -> None:
    s3.faults.append(break_off(length, b"a cat", reset=reset))

    with pytest.raises(Unavailable, match=f"fetching {KEY}: {s3.url} stopped answering"):
        store.get_image(KEY, max_bytes=length)

    assert store.get_image(KEY, max_bytes=length) == b"a cat"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\na cat\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: x",
        b"HTTP/1.0 200 OK\r\nX: x\r\n\r\na ca",
    ],
)
def test_what_is_no_http_is_an_error_and_not_an_image(
    store: S3Store, s3: S3Server, answer: bytes
) -> None:
    def babble(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_WR)
        handler.close_connection = True

    s3.faults += [babble] * 3

    with pytest.raises(Unavailable, match="stopped answering"):
        store.get_image(KEY, max_bytes=100)


def chunked(status: int, body: bytes) -> s3_server.Fault:
    """Answer in chunks, as S3 does with its errors."""

    def fault(handler: Handler) -> None:
        handler.send_response_only(status)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(body), 100):
            block = body[start : start + 100]
            handler.wfile.write(f"{len(block):X};name=value\r\n".encode() + block + b"\r\n")
        handler.wfile.write(b"0\r\nTrailer: x\r\n\r\n")

    return fault


def test_an_answer_may_come_in_chunks(store: S3Store, s3: S3Server) -> None:
    told: list[int] = []
    s3.faults += [
        chunked(404, error_xml("NoSuchKey", "&lt;none&gt;" * 50)),
        chunked(200, b"x" * 1000),
        chunked(200, b"x" * 1000),
    ]

    with pytest.raises(ObjectMissing):
        store.get_image(KEY, max_bytes=1000)
    assert store.get_image(KEY, max_bytes=1000, admit=told.append) == b"x" * 1000
    with pytest.raises(ObjectTooLarge, match="at most 999 bytes"):
        store.get_image(KEY, max_bytes=999)

    assert told == [1000]
    assert s3.connections == 1
    assert store.get_image(KEY, max_bytes=1000) == b"a cat"


def test_of_a_large_error_only_the_beginning_is_read(store: S3Store, s3: S3Server) -> None:
    def endless(handler: Handler) -> None:
        handler.send(403, b"", {"Content-Length": 10**12})
        handler.wfile.write(error_xml("AccessDenied", "no") + b"x" * 1_000_000)

    s3.faults.append(endless)

    with pytest.raises(Misconfigured, match="the credentials do not permit GetObject: no"):
        store.get_image(KEY, max_bytes=100)


@pytest.mark.usefixtures("s3")
def test_a_wrong_secret_is_never_taken(aws: Aws) -> None:
    store = connect(attempts=3, secret="not the secret")

    for call in (
        lambda: store.put_image(KEY, b"cat", "image/jpeg"),
        lambda: store.get_image(KEY, max_bytes=3),
        lambda: store.put_result(failed()),
    ):
        with pytest.raises(Misconfigured, match="AWS does not know these credentials"):
            call()
    with pytest.raises(Misconfigured, match="do not permit HeadBucket"):  # a HEAD has no body
        store.ping()
    assert "Contents" not in aws.s3(1).list_objects_v2(Bucket="input")


def test_credentials_that_change_are_used_from_the_next_request_on(s3: S3Server) -> None:
    session = boto3.Session("test", s3_server.SECRETS["test"], region_name=REGION)
    store = S3Store(Aws(session).s3(1), input_bucket="input", results_bucket="results")
    store.put_image(KEY, b"a cat", "image/jpeg")

    known = session.get_credentials()
    assert known is not None
    known.access_key, known.secret_key, known.token = "testing", "testing", "a token"
    assert store.get_image(KEY, max_bytes=5) == b"a cat"

    before, after = s3.seen
    assert "Credential=test/" in before["authorization"]
    assert "x-amz-security-token" not in before
    assert "Credential=testing/" in after["authorization"]
    assert after["x-amz-security-token"] == "a token"


def test_a_bucket_in_another_region_says_which_one_to_set(store: S3Store, s3: S3Server) -> None:
    s3.faults += [
        refuse(301, "PermanentRedirect", x_amz_bucket_region="eu-west-3"),
        lambda handler: handler.send(301, b"", {"x-amz-bucket-region": "eu-west-3"}),
        lambda handler: handler.send(400, b"", {"x-amz-bucket-region": "eu-west-3"}),
        lambda handler: handler.send(
            400,
            b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong"
            b"</Message><Region>eu-west-3</Region></Error>",
        ),
    ]

    for call in (
        lambda: store.put_image(KEY, b"cat", "image/jpeg"),
        store.ping,
        store.ping,
        lambda: store.get_image(KEY, max_bytes=3),
    ):
        with pytest.raises(Misconfigured, match="region: set AWS_DEFAULT_REGION to eu-west-3"):
            call()


def test_a_result_stored_by_a_try_whose_answer_was_lost_counts(
    store: S3Store, s3: S3Server
) -> None:
    def store_it_and_fall_silent(handler: Handler) -> None:
        handler._ask_moto()
        handler.reset()

    s3.faults.append(store_it_and_fall_silent)

    assert store.put_result(failed())


def test_a_result_is_tried_again_while_another_is_being_written(
    store: S3Store, s3: S3Server
) -> None:
    result = failed()
    s3.faults.append(refuse(409, "ConditionalRequestConflict"))

    assert store.put_result(result)

    assert store.get_result(result.job) == result


def test_a_file_is_sent_from_where_it_stands_and_again_if_need_be(
    store: S3Store, s3: S3Server, aws: Aws
) -> None:
    file = io.BytesIO(b"left out" + bytes(300_000) + b"the end")
    file.seek(8)
    s3.faults += [refuse(503, "SlowDown"), s3_server.hang_up]

    store.put_image(KEY, file, "image/jpeg")

    found = aws.s3(1).get_object(Bucket="input", Key=KEY)["Body"].read()
    assert found == bytes(300_000) + b"the end"


def test_an_empty_file_is_an_object_too(store: S3Store) -> None:
    store.put_image(KEY, io.BytesIO(), "image/jpeg")
    assert store.get_image(KEY, max_bytes=0) == b""

    store.put_image(KEY, b"", "image/jpeg")
    assert store.get_image(KEY, max_bytes=0) == b""


def test_a_file_that_shrinks_while_it_is_sent_is_no_object(store: S3Store, aws: Aws) -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) if self.tell() < 200_000 else b""

    with pytest.raises(Unavailable):
        store.put_image("a/0002-dog.jpg", Shrinking(bytes(400_000)), "image/jpeg")

    with pytest.raises(ObjectMissing):
        store.get_image("a/0002-dog.jpg", max_bytes=400_000)


@contextmanager
def one_call(serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Be the S3 of one call, on a bare socket."""

    def run() -> None:
        link, _ = listener.accept()
        with link:
            serve(link)

    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=run)
        thread.start()
        yield
        thread.join()


def test_a_refusal_before_the_end_of_an_upload_is_understood() -> None:
    def refuse_early(link: socket.socket) -> None:
        link.recv(1000)
        body = error_xml("AccessDenied", "no uploads today")
        link.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with one_call(refuse_early):
        store = connect(attempts=1)
        with pytest.raises(Misconfigured, match="do not permit PutObject: no uploads today"):
            store.put_image(KEY, io.BytesIO(bytes(5_000_000)), "image/jpeg")


def test_a_header_can_not_be_smuggled_in(store: S3Store, s3: S3Server) -> None:
    for content_type in ("image/jpeg\r\nX-Amz-Acl: public-read", "image/jpeg\nX: y", "a\rb: c"):
        with pytest.raises(ValueError, match="Invalid header value"):
            store.put_image(KEY, b"cat", content_type)

    assert s3.requests == []


def test_a_large_upload_takes_little_memory(tmp_path: Path) -> None:
    size, buffer = 64_000_000, bytearray(100_000)
    path = tmp_path / "large.jpg"
    path.touch()
    os.truncate(path, size)

    def drain(link: socket.socket) -> None:
        left = size
        while left > 0:
            left -= link.recv_into(buffer)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with one_call(drain), path.open("rb") as file:
        store = connect(attempts=1)
        gc.collect()
        tracemalloc.start()
        store.put_image(KEY, file, "image/jpeg")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 4_000_000
