"""What EC2 announces about its instance starts the worker's drain by itself."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from structlog.testing import capture_logs

from clock import Clock
from imagefleet_worker.ec2.imds import RENEW_S, TOKEN_S, Imds, ImdsError
from imagefleet_worker.ec2.instance_metadata import (
    LONGEST_PAUSE_S,
    NEAR,
    POLL_S,
    REBALANCE_S,
    Notices,
)
from metadata_service import MetadataService

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# The service is a thread of this process, which may pause for longer than EC2's own would.
PATIENT_S = 30.0


@pytest.fixture
def service() -> Iterator[MetadataService]:
    with MetadataService().running() as started:
        yield started


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asked() -> list[str]:
    """Why the worker was asked to drain."""
    return []


@pytest.fixture
def notices(service: MetadataService, asked: list[str], clock: Clock) -> Notices:
    return watching(service.url, asked, clock)


def watching(url: str, asked: list[str], clock: Clock, chance: float = 0.5) -> Notices:
    return Notices(
        url,
        asked.append,
        clock=clock,
        now=lambda: NOW,
        chance=lambda: chance,
        timeout_s=PATIENT_S,
    )


def test_without_any_notice_a_worker_works_on(notices: Notices, asked: list[str]) -> None:
    assert notices.turn() == POLL_S

    assert asked == []


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_a_spot_interruption_starts_the_drain_once(
    notices: Notices, service: MetadataService, asked: list[str], action: str
) -> None:
    notices.turn()
    service.interrupt(NOW + 2 * MINUTE, action)

    for _ in range(3):
        assert notices.turn() == POLL_S

    (reason,) = asked
    assert action in reason
    assert "2026-01-31T12:02:00Z" in reason


def test_a_fleet_that_is_told_to_rebalance_leaves_bit_by_bit(
    service: MetadataService, clock: Clock
) -> None:
    asked: list[str] = []
    fleet = [watching(service.url, asked, clock, chance=each / 10) for each in range(10)]
    service.recommend_rebalance(NOW)

    left = []
    for _ in range(10):
        for notices in fleet:
            notices.turn()
        left.append(len(asked))
        clock.now += REBALANCE_S / 10

    assert left == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert all("rebalance" in reason for reason in asked)


def test_an_interruption_cuts_the_time_to_rebalance_short(
    notices: Notices, service: MetadataService, asked: list[str]
) -> None:
    service.recommend_rebalance(NOW)
    notices.turn()
    assert asked == []

    service.interrupt(NOW + 2 * MINUTE)
    notices.turn()

    assert ["spot interruption" in reason for reason in asked] == [True]


@pytest.mark.parametrize(
    ("code", "ahead", "state", "drains"),
    [
        pytest.param("instance-stop", MINUTE, "active", True, id="stopped soon"),
        pytest.param("instance-retirement", NEAR, "active", True, id="retired just near enough"),
        pytest.param("instance-reboot", MINUTE, "active", True, id="rebooted soon"),
        pytest.param("system-reboot", -MINUTE, "active", True, id="its host rebooted any moment"),
        pytest.param("system-maintenance", MINUTE, "active", False, id="only disturbed"),
        pytest.param("instance-stop", timedelta(days=9), "active", False, id="not for days"),
        pytest.param("system-reboot", MINUTE, "completed", False, id="over"),
        pytest.param("system-reboot", MINUTE, "canceled", False, id="called off"),
    ],
)
def test_a_scheduled_event_starts_the_drain_if_it_is_near_and_ends_what_runs(
    notices: Notices,
    service: MetadataService,
    asked: list[str],
    code: str,
    ahead: timedelta,
    state: str,
    drains: bool,
) -> None:
    service.schedule(code, NOW + ahead, state)

    notices.turn()

    assert [code in reason for reason in asked] == [True] * drains


def test_the_nearest_of_several_events_is_seen(
    notices: Notices, service: MetadataService, asked: list[str]
) -> None:
    service.schedule("instance-retirement", NOW + timedelta(days=14))
    service.schedule("system-reboot", NOW + MINUTE)

    notices.turn()

    assert asked == ["scheduled system-reboot at 31 Jan 2026 12:01:00 GMT"]


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("spot/instance-action", "<html>Welcome to the hotel's network</html>"),
        ("spot/instance-action", "[]"),
        ("spot/instance-action", ""),
        ("events/recommendations/rebalance", "null"),
        ("events/maintenance/scheduled", "{"),
        ("events/maintenance/scheduled", "[" * 10_000),
        ("events/maintenance/scheduled", '{"State": "active"}'),
        ("events/maintenance/scheduled", '["reboot", {}, {"State": "active", "Code": []}]'),
        (
            "events/maintenance/scheduled",
            '[{"State": "active", "Code": "instance-stop", "NotBefore": "next week"}]',
        ),
    ],
)
def test_what_nobody_understands_is_said_at_most_once_and_hides_nothing_else(
    notices: Notices, service: MetadataService, asked: list[str], path: str, entry: str
) -> None:
    service.entries[path] = entry

    with capture_logs() as logs:
        assert [notices.turn(), notices.turn()] == [POLL_S, POLL_S]
    assert len(logs) <= 1
    assert asked == []

    service.interrupt(NOW)
    notices.turn()
    assert len(asked) == 1


def test_one_token_serves_until_shortly_before_it_expires(
    notices: Notices, service: MetadataService, clock: Clock
) -> None:
    for _ in range(5):
        notices.turn()
    assert service.tokens_given == 1

    clock.now += RENEW_S
    notices.turn()

    assert service.tokens_given == 2
    assert RENEW_S + LONGEST_PAUSE_S < TOKEN_S


def test_a_token_that_is_not_known_any_more_is_replaced(
    notices: Notices, service: MetadataService, asked: list[str]
) -> None:
    notices.turn()
    service.forget_tokens()
    service.interrupt(NOW)

    assert notices.turn() == POLL_S

    assert len(asked) == 1
    assert service.tokens_given == 2


def test_a_service_in_trouble_is_said_once_and_asked_more_rarely(
    notices: Notices, service: MetadataService, asked: list[str]
) -> None:
    service.failing = HTTPStatus.SERVICE_UNAVAILABLE

    with capture_logs() as logs:
        pauses = [notices.turn() for _ in range(6)]
        service.failing = None
        pauses.append(notices.turn())

    assert pauses == [5, 10, 20, 40, 60, 60, POLL_S]
    assert [line["log_level"] for line in logs] == ["warning", "info"]

    # and it is as good as before
    service.interrupt(NOW)
    notices.turn()
    assert len(asked) == 1


def test_a_machine_without_the_service_goes_on_without_it(asked: list[str], clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    notices = watching(f"http://127.0.0.1:{port}", asked, clock)

    with capture_logs() as logs:
        notices.turn()
        notices.turn()

    assert asked == []
    assert [f":{port} does not answer" in line["reason"] for line in logs] == [True]


def test_a_service_that_says_nothing_is_not_waited_for(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        imds = Imds(f"http://127.0.0.1:{silent.getsockname()[1]}", clock=clock, timeout_s=0.01)

        with pytest.raises(ImdsError, match="timed out"):
            imds.get("spot/instance-action")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
    ],
)
def test_whatever_else_listens_at_that_address_is_no_error_of_the_worker(
    asked: list[str], clock: Clock, answer: bytes
) -> None:
    with talking(answer) as port, capture_logs() as logs:
        watching(f"http://127.0.0.1:{port}", asked, clock).turn()

    assert asked == []
    assert {line["log_level"] for line in logs} == {"warning"}


def test_proxies_are_for_the_internet(
    notices: Notices, service: MetadataService, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    service.interrupt(NOW)

    notices.turn()

    assert len(asked) == 1


@pytest.mark.parametrize(
    "url", ["169.254.169.254", "https://169.254.169.254", "http://", "http://h:port", "http://[::1"]
)
def test_what_is_no_address_is_named(url: str, asked: list[str], clock: Clock) -> None:
    with pytest.raises(ImdsError, match="expected the address of instance metadata"):
        watching(url, asked, clock)


@contextmanager
def talking(answer: bytes) -> Iterator[int]:
    """Serve the same bytes to everybody; yield the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
