"""Requests to receivers over real sockets: such as answer, and such as mean no good."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from certificate import write_pem
from imagefleet_web.callbacks import sender as sending
from imagefleet_web.callbacks import urls
from imagefleet_web.callbacks.addresses import Addresses, parse_networks
from imagefleet_web.callbacks.sender import MOST_BYTES, Sender, Undelivered
from receiver import Answer, Behaviour, Handler, Receiver

LOOPBACK = parse_networks("127.0.0.0/8")
BODY = b'{"type":"batch.finished"}'
# Far above what anything here takes that is not to be cut off.
PATIENCE_S = 10
NAME = "receiver.test"


@pytest.fixture(autouse=True)
def _an_evil_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names a proxy at which nothing listens, which nobody may use."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def here(*_: Any, **__: Any) -> Any:
    """Resolve every name to this machine."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", _[1]))]


def sender(**options: Any) -> Sender:
    return Sender(Addresses(LOOPBACK, here), **options)


def post(
    receiver: Receiver, by: Sender | None = None, host: str = NAME, path: str = "/hook"
) -> sending.Answer:
    target = urls.parse(receiver.url(path, host))
    return (by or sender()).post(target, {"X-Mine": "yes", "Content-Type": "a/b"}, BODY)


def test_a_receiver_gets_one_request_as_it_was_meant() -> None:
    with Receiver() as receiver:
        answer = post(receiver, path="/hook/%2F?a=b&c")

        (received,) = receiver.received
        assert (answer.status, received.method, received.body) == (204, "POST", BODY)
        assert received.path == "/hook/%2F?a=b&c"
        assert received.headers == {
            "host": f"{NAME}:{receiver.port}",
            "x-mine": "yes",
            "content-type": "a/b",
            "content-length": str(len(BODY)),
            "accept-encoding": "identity",
            "connection": "close",
        }


@pytest.mark.parametrize("address", ["2606:4700::1111", "2606:4700::a1b2", "2606:4700::a"])
def test_a_receiver_may_be_an_ipv6_address(address: str) -> None:
    """Whose last group is a port to nobody, be it hexadecimal or not."""
    with Receiver() as receiver:
        assert post(receiver, host=f"[{address}]").status == 204

        (received,) = receiver.received
        assert received.headers["host"] == f"[{address}]:{receiver.port}"


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with Receiver() as elsewhere:
        target = {"Location": elsewhere.url()}
        with Receiver(Answer(302, target), Answer(307, target)) as receiver:
            assert [post(receiver).status for _ in range(2)] == [302, 307]

    assert elsewhere.connections == 0


def test_the_address_that_was_judged_is_the_one_that_is_called() -> None:
    """A name that stands for another address at each question is asked for once."""
    with Receiver() as receiver:
        asked: list[str] = []

        def rebinding(host: str, port: int, **_: Any) -> Any:
            asked.append(host)
            address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        rebound = Sender(Addresses(LOOPBACK, rebinding))
        post(receiver, rebound)

        assert asked == [NAME]
        assert len(receiver.received) == 1
        with pytest.raises(Undelivered, match="no callback may go to"):
            post(receiver, rebound)
    assert receiver.connections == 1


def test_what_may_not_be_called_is_not_even_connected_to() -> None:
    with Receiver() as receiver:
        for host in ("127.0.0.1", "localhost", "127.1"):
            with pytest.raises(Undelivered, match="no callback may go to"):
                post(receiver, Sender(Addresses()), host)

    assert receiver.connections == 0


def test_of_several_addresses_the_next_is_tried() -> None:
    def two(_: str, port: int, **__: Any) -> Any:
        nobody = socket.create_server(("127.0.0.2", 0))
        closed = nobody.getsockname()
        nobody.close()
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", place)
            for place in (closed, ("127.0.0.1", port))
        ]

    with Receiver() as receiver:
        assert post(receiver, Sender(Addresses(LOOPBACK, two))).status == 204


def trickle_head(handler: Handler) -> None:
    for _ in range(1000):
        handler.wfile.write(b"x")
        if handler.server.receiver.over.wait(0.05):
            return


def endless_head(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def continue_for_ever(handler: Handler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def endless_line(handler: Handler) -> None:
    while True:
        handler.wfile.write(b"x" * 10_000)


def hang_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def no_http(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


BAD: dict[str, tuple[Behaviour, str]] = {
    "that is silent": (Handler.hang, "takes too long"),
    "that sends a byte now and then": (trickle_head, "takes too long"),
    "whose headers have no end": (endless_head, "the answer is too long"),
    "that says to go on for ever": (continue_for_ever, "the answer is too long"),
    "whose first line has no end": (endless_line, "the answer is too long"),
    "that hangs up": (hang_up, NAME),
    "that speaks something else": (no_http, NAME),
}


@pytest.mark.parametrize(("behaviour", "reason"), BAD.values(), ids=BAD)
def test_a_receiver(behaviour: Behaviour, reason: str) -> None:
    """Is left alone after a while, with a reason in one short line."""
    slow = "takes too long" in reason
    began = time.monotonic()
    with Receiver(behaviour) as receiver, pytest.raises(Undelivered, match=reason) as caught:
        post(receiver, sender(whole_s=0.4 if slow else PATIENCE_S))

    assert time.monotonic() - began < PATIENCE_S
    assert len(str(caught.value)) < 300


def endless_body(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        handler.server.receiver.hung_up.set()  # type: ignore[attr-defined]


def test_a_status_is_all_that_is_read_however_much_follows() -> None:
    with Receiver(endless_body) as receiver:
        receiver.hung_up = threading.Event()  # type: ignore[attr-defined]
        assert post(receiver).status == 200

        assert receiver.hung_up.wait(PATIENCE_S)  # type: ignore[attr-defined]


def test_an_answer_with_a_long_head_within_the_limit_counts() -> None:
    with Receiver(Answer(200, {"X-Long": "x" * (MOST_BYTES // 2)})) as receiver:
        assert post(receiver).status == 200


def test_a_receiver_that_does_not_read_is_left_alone() -> None:
    """It takes the connection, and its buffers fill up."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        target = urls.parse(f"http://{NAME}:{deaf.getsockname()[1]}/")
        with pytest.raises(Undelivered, match="takes too long"):
            sender(whole_s=0.3).post(target, {}, b"x" * 20_000_000)


def test_where_nothing_listens_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Undelivered, match="refused"):
        sender().post(urls.parse(f"http://{NAME}:{port}/"), {}, BODY)


def test_a_connection_that_does_not_come_about_is_given_up() -> None:
    # given a server that takes no connection beyond those that wait already
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for link in waiting:
            link.setblocking(False)
            link.connect_ex(full.getsockname())

        with pytest.raises(Undelivered, match="takes too long"):
            sender(connect_s=0.3).post(
                urls.parse(f"http://{NAME}:{full.getsockname()[1]}/"), {}, BODY
            )

        for link in waiting:
            link.close()


RETRY_AFTER: dict[str, tuple[str, float, float]] = {
    "seconds": ("120", 120, 120),
    "a date that is past": ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    "no zone": ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
    "nonsense": ("soon", 0, 0),
    "a negative number": ("-5", 0, 0),
    "an endless number": ("9" * 500, 1e8, 1e9),
}


@pytest.mark.parametrize(("value", "least", "most"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_when_to_come_again_is_read(value: str, least: float, most: float) -> None:
    with Receiver(Answer(503, {"Retry-After": value})) as receiver:
        answer = post(receiver)

    assert answer.status == 503
    assert least <= answer.retry_after_s <= most


def test_when_to_come_again_may_be_a_date() -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with Receiver(Answer(503, {"Retry-After": value})) as receiver:
        assert 3000 <= post(receiver).retry_after_s <= 3600


@pytest.fixture
def secure(tmp_path: Path) -> Callable[..., Receiver]:
    """Make receivers over TLS for certain names."""

    def make(*names: str) -> Receiver:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(write_pem(tmp_path / "server.pem", *names))
        return Receiver(tls=tls)

    return make


def trusting(tmp_path: Path) -> Sender:
    return sender(trust=ssl.create_default_context(cafile=str(tmp_path / "server.pem")))


def test_over_tls_the_name_is_told_and_checked(
    secure: Callable[..., Receiver], tmp_path: Path
) -> None:
    with secure(NAME) as receiver:
        told: list[str | None] = []
        assert receiver._tls
        receiver._tls.sni_callback = lambda _link, name, _context: told.append(name)

        assert post(receiver, trusting(tmp_path)).status == 204
        with pytest.raises(Undelivered, match=r"not valid for 'other\.test'"):
            post(receiver, trusting(tmp_path), "other.test")

    assert told == [NAME, "other.test"]
    assert len(receiver.received) == 1


def test_over_tls_an_address_is_checked_too(
    secure: Callable[..., Receiver], tmp_path: Path
) -> None:
    with secure("127.0.0.1") as receiver:
        assert post(receiver, trusting(tmp_path), "127.0.0.1").status == 204


def test_a_receiver_whom_nobody_vouches_for_hears_nothing(secure: Callable[..., Receiver]) -> None:
    with secure(NAME) as receiver, pytest.raises(Undelivered, match="self-signed"):
        post(receiver)

    assert receiver.received == []


def test_a_receiver_that_never_ends_its_handshake_is_left_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = urls.parse(f"https://{NAME}:{silent.getsockname()[1]}/")
        with pytest.raises(Undelivered, match="takes too long"):
            sender(whole_s=0.3).post(target, {}, BODY)
