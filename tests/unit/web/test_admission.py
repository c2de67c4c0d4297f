"""Uploads that are put off: a client over its share, and a backlog that is too long."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from clock import Clock
from imagefleet_web.keys import make
from imagefleet_web.rights import shares
from imagefleet_web.rights.shares import Shares
from imagefleet_web.scaling.backlog import Backlog
from imagefleet_web.scaling.portions import HALF_LIFE_S, Portions
from imagefleet_web.uploads.admission import BACKLOG_RETRY_S
from web_tier import CHELSEA, DEADLINE_S, Answer, Web, World, eventually, form

ALICE, ALICE_LINE = make("alice")
BOB, BOB_LINE = make("bob")


@pytest.fixture
def clock() -> Clock:
    return Clock()


# Shares


def test_a_client_may_upload_a_minutes_worth_at_once_and_then_as_credit_grows(
    clock: Clock,
) -> None:
    share = Shares(images_a_minute=60, uploads=0, clock=clock)
    for _ in range(60):
        assert share.begin("alice") == 0
        share.end("alice", 1)

    assert share.begin("alice") == 1
    assert share.begin("bob") == 0  # whom that doesn't concern
    clock.now += 1
    assert share.begin("alice") == 0


def test_a_large_upload_is_paid_for_afterwards(clock: Clock) -> None:
    share = Shares(images_a_minute=60, uploads=0, clock=clock)
    assert share.begin("alice") == 0
    share.end("alice", 100)

    # then its client waits until the debt is paid and there is credit for one image more
    assert share.begin("alice") == 41
    clock.now += 40.5
    assert share.begin("alice") == 1
    clock.now += 0.5
    assert share.begin("alice") == 0


def test_credit_grows_to_that_of_a_minute_only(clock: Clock) -> None:
    share = Shares(images_a_minute=60, uploads=0, clock=clock)
    share.begin("alice")
    share.end("alice", 1)
    clock.now += 10_000

    share.begin("alice")
    share.end("alice", 60)

    assert share.begin("alice") > 0


def test_over_a_long_time_the_rate_holds_whatever_the_uploads(clock: Clock) -> None:
    share = Shares(images_a_minute=600, uploads=0, clock=clock)
    images, start = 0, clock.now
    while clock.now < start + 3600:
        if wait := share.begin("alice"):
            clock.now += wait
        else:
            images += 100
            share.end("alice", 100)

    assert 600 * 60 <= images <= 600 * 61 + 100


def test_no_more_uploads_run_at_once_than_may(clock: Clock) -> None:
    share = Shares(images_a_minute=0, uploads=2, clock=clock)
    assert [share.begin("alice") for _ in range(3)] == [0, 0, shares.UPLOADS_RETRY_S]
    assert share.begin("bob") == 0

    share.end("alice", 100)

    assert share.begin("alice") == 0


def test_the_clients_that_are_remembered_are_few(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "MOST_CLIENTS", 3)
    share = Shares(images_a_minute=1, uploads=0, clock=clock)
    for client in "abcd":
        share.begin(client)
        share.end(client, 1)

    assert [bool(share.begin(client)) for client in "abcd"] == [False, True, True, True]


def test_without_limits_nobody_is_put_off(clock: Clock) -> None:
    share = Shares(images_a_minute=0, uploads=0, clock=clock)
    for _ in range(1000):
        assert share.begin("alice") == 0


# Backlog


class Here(Executor):
    """Runs at once what it is given, or keeps it for later."""

    def __init__(self, *, later: bool = False) -> None:
        self.later = later
        self.kept: list[Callable[[], Any]] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        self.kept.append(lambda: call(*args))
        if not self.later:
            self.kept.pop()()
        return Future()


def test_the_backlog_is_what_waits_in_the_queue(world: World, clock: Clock) -> None:
    world.requests.send(["a", "b", "c"])
    world.requests.receive(wait_s=0, visibility_s=60, at_most=1)

    assert Backlog(world.requests, Here(), clock=clock).images() == 2


def test_the_backlog_is_asked_for_again_after_seconds(world: World, clock: Clock) -> None:
    backlog = Backlog(world.requests, Here(), clock=clock)
    assert backlog.images() == 0
    world.requests.send(["a"])
    assert backlog.images() == 0

    clock.now += 5

    assert backlog.images() == 1


def test_nobody_waits_until_the_backlog_is_known(world: World, clock: Clock) -> None:
    pool = Here(later=True)
    backlog = Backlog(world.requests, pool, clock=clock)

    assert [backlog.images() for _ in range(3)] == [None] * 3

    # then it was asked for once, and its answer counts from then on
    clock.now += 30
    (ask,) = pool.kept
    ask()
    assert backlog.images() == 0


def test_what_was_known_long_ago_is_not_known(world: World, clock: Clock) -> None:
    backlog = Backlog(world.requests, Here(), clock=clock)
    assert backlog.images() == 0
    world.requests.outage.begin("counts")

    clock.now += 59
    assert backlog.images() == 0
    clock.now += 1
    assert backlog.images() is None


# Requests


@pytest.fixture
def limited(world: World) -> Iterator[Web]:
    """A web process that takes three images a minute of each client."""
    web = Web(world, max_images_per_minute=3)
    yield web
    web.services.close()


@pytest.mark.parametrize("path", ["/", "/api/v1/upload"])
def test_a_client_over_its_share_is_told_when_to_come_again(
    limited: Web, world: World, path: str
) -> None:
    for _ in range(3):
        assert limited.upload(("1.jpg", CHELSEA)).status_code == 202

    answer = limited.upload(("1.jpg", CHELSEA), path=path)

    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    assert answer.headers["Retry-After"] in answer.text
    assert len(world.store.images) == 3


def test_that_is_a_problem_document_and_concerns_uploads_only(limited: Web) -> None:
    batch = limited.upload(*[(f"{i}.jpg", CHELSEA) for i in range(5)]).json["url"]

    refused = limited.upload(("1.jpg", CHELSEA))

    assert refused.content_type == "application/problem+json"
    assert refused.json["code"] == "too_many_requests"
    assert limited.get(batch).json["total"] == 5


def test_files_that_are_refused_count_too(limited: Web) -> None:
    limited.upload(*[(f"{i}.jpg", b"no picture") for i in range(3)])

    assert limited.upload(("1.jpg", CHELSEA)).status_code == 429


def test_an_upload_that_cannot_be_read_costs_nothing(limited: Web) -> None:
    for _ in range(4):
        refused = limited.post("/api/v1/upload", content_type="text/plain", data="x")
        assert refused.status_code == 415

    assert limited.upload(("1.jpg", CHELSEA)).status_code == 202


def test_a_share_is_that_of_a_key_wherever_it_is_used(world: World, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n")
    web = Web(world, api_keys_file=str(path), max_images_per_minute=1)

    def upload(key: str, address: str) -> int:
        return web.upload(
            ("1.jpg", CHELSEA),
            headers={"X-Api-Key": key},
            environ_overrides={"REMOTE_ADDR": address},
        ).status_code

    assert upload(ALICE, "192.0.2.1") == 202
    assert upload(ALICE, "192.0.2.2") == 429
    assert upload(BOB, "192.0.2.1") == 202


ADDRESSES = {
    "two addresses": (0, ("192.0.2.1", ""), ("192.0.2.2", ""), 202),
    "one address": (0, ("192.0.2.1", ""), ("192.0.2.1", ""), 429),
    "one IPv6 network": (0, ("2001:db8::1", ""), ("2001:db8::2:1", ""), 429),
    "two IPv6 networks": (0, ("2001:db8:0:1::1", ""), ("2001:db8:0:2::1", ""), 202),
    "a header that nobody vouches for": (
        0,
        ("192.0.2.1", "1.1.1.1"),
        ("192.0.2.1", "2.2.2.2"),
        429,
    ),
    "two clients of a proxy": (1, ("10.0.0.1", "1.1.1.1"), ("10.0.0.1", "2.2.2.2"), 202),
    "two IPv4 clients of a proxy that writes them as IPv6": (
        1,
        ("10.0.0.1", "::ffff:1.1.1.1"),
        ("10.0.0.1", "::ffff:2.2.2.2"),
        202,
    ),
    "one IPv4 client, written either way": (0, ("::ffff:192.0.2.1", ""), ("192.0.2.1", ""), 429),
    "one client that makes up a header before a proxy": (
        1,
        ("10.0.0.1", "1.1.1.1, 192.0.2.1"),
        ("10.0.0.1", "2.2.2.2, 192.0.2.1"),
        429,
    ),
}


@pytest.mark.parametrize(
    ("proxies", "first", "second", "status"), ADDRESSES.values(), ids=ADDRESSES
)
def test_without_keys_the_address_stands_for_the_client(
    world: World, proxies: int, first: tuple[str, str], second: tuple[str, str], status: int
) -> None:
    web = Web(world, max_images_per_minute=1, trusted_proxies=proxies)

    def upload(address: str, forwarded: str) -> int:
        return web.upload(
            ("1.jpg", CHELSEA),
            headers={"X-Forwarded-For": forwarded} if forwarded else {},
            environ_overrides={"REMOTE_ADDR": address},
        ).status_code

    assert upload(*first) == 202
    assert upload(*second) == status


class Slow(io.BytesIO):
    """A request's body that comes when it is let."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.begun, self.go_on = Event(), Event()

    def readinto(self, buffer: Any, /) -> int:
        self.begun.set()
        self.go_on.wait(DEADLINE_S)
        return super().readinto(buffer)


def test_an_upload_beside_as_many_as_may_run_is_put_off(world: World) -> None:
    web = Web(world, max_uploads_at_once=1)
    body, content_type = form([("file", "1.jpg", CHELSEA)])
    slow = Slow(body)
    with ThreadPoolExecutor() as pool:
        # given one that is on its way
        running = pool.submit(
            web.post,
            "/api/v1/upload",
            input_stream=slow,
            content_type=content_type,
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert slow.begun.wait(DEADLINE_S)

        assert web.upload(("2.jpg", CHELSEA)).status_code == 429
        slow.go_on.set()
        assert running.result().status_code == 202

    assert web.upload(("2.jpg", CHELSEA)).status_code == 202


def test_those_who_wait_for_results_upload_no_more(world: World) -> None:
    web = Web(world, max_uploads_at_once=1)
    waiting = web.meanwhile(lambda: web.upload(("1.jpg", CHELSEA), path="/api/v1/upload?wait=20"))
    first = world.take(1)

    eventually(lambda: web.upload(("2.jpg", CHELSEA)).status_code == 202)

    world.finish(first)
    web.listen()
    assert waiting.answer().status_code == 200


def test_an_upload_that_fails_leaves_its_place(world: World) -> None:
    web = Web(world, max_uploads_at_once=1)
    for _ in range(3):
        assert web.post("/api/v1/upload", content_type="text/plain", data="x").status_code == 415


@pytest.mark.parametrize("path", ["/", "/api/v1/upload"])
def test_uploads_are_put_off_while_too_many_images_wait(world: World, path: str) -> None:
    web = Web(world, max_backlog=2)
    web.services.backlog._pool = Here()
    world.requests.send(["a", "b", "c"])

    answer = web.upload(("1.jpg", CHELSEA), path=path)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 10
    if path != "/":
        assert answer.json["code"] == "overloaded"
    assert world.store.images == {}
    # and all else is answered
    assert web.get("/api/v1/batches").status_code == 200


def test_a_backlog_that_is_not_known_refuses_nothing(world: World) -> None:
    web = Web(world, max_backlog=1)
    web.services.backlog._pool = Here()
    world.requests.send(["a", "b", "c"])
    world.requests.outage.begin("counts")

    assert web.upload(("1.jpg", CHELSEA)).status_code == 202


# Portions


@pytest.fixture
def portions(clock: Clock) -> Portions:
    """What clients have of a backlog of 1,000 images at the most."""
    return Portions(1000, 1, clock=clock)


def held_back(portions: Portions, waiting: int) -> list[str]:
    """Return who may queue no more while so many images wait."""
    return [each for each in ("alice", "bob", "carol") if portions.too_large(each, waiting)]


def test_one_client_alone_fills_half_of_the_room(portions: Portions) -> None:
    portions.add("alice", 2000)

    assert [held_back(portions, waiting) for waiting in (0, 499, 500, 501, 1000)] == [
        [],
        [],
        [],
        ["alice"],
        ["alice"],
    ]
    assert portions.too_large("alice", 600) == 600


def test_the_more_waits_the_less_of_it_may_be_one_clients(portions: Portions) -> None:
    for client, images in [("alice", 600), ("bob", 300), ("carol", 100)]:
        portions.add(client, images)

    assert held_back(portions, 620) == []
    assert held_back(portions, 630) == ["alice"]
    assert held_back(portions, 760) == ["alice"]
    assert held_back(portions, 780) == ["alice", "bob"]
    # so that there is room for others to the end
    assert held_back(portions, 900) == ["alice", "bob"]


def test_who_queued_little_is_not_held_back_whoever_filled_the_room(portions: Portions) -> None:
    # given a process that took in little of all that waits
    portions.add("alice", 9)

    assert held_back(portions, 1000) == []


def test_nobody_is_blamed_for_what_waited_before_or_came_elsewhere(
    portions: Portions, clock: Clock
) -> None:
    # given a backlog of bob's, of whom nothing came lately, or that nobody here has seen
    portions.add("bob", 900)
    clock.now += 12 * HALF_LIFE_S

    portions.add("alice", 15)

    assert held_back(portions, 900) == []


def test_who_fills_the_room_slowly_gets_no_more_of_it(portions: Portions, clock: Clock) -> None:
    # given a fleet that works on nothing, and a client who goes on for hours
    waiting = 0
    while not portions.too_large("alice", waiting):
        portions.add("alice", 1)
        waiting += 1
        clock.now += 10

    assert waiting < 600


def test_what_came_by_the_other_processes_of_a_host_is_taken_for_alike(clock: Clock) -> None:
    portions = Portions(1000, 3, clock=clock)
    portions.add("alice", 200)

    assert held_back(portions, 610) == ["alice"]
    assert portions.too_large("alice", 900) == 600


def test_what_was_queued_long_ago_counts_less_and_less(portions: Portions, clock: Clock) -> None:
    portions.add("alice", 800)
    clock.now += 2 * HALF_LIFE_S
    portions.add("bob", 320)

    assert held_back(portions, 700) == ["bob"]

    clock.now += 20 * HALF_LIFE_S
    assert held_back(portions, 1000) == []


def test_the_portions_that_are_remembered_are_few(
    portions: Portions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagefleet_web.scaling.portions.MOST_CLIENTS", 2)
    for client in ("alice", "bob", "alice", "carol"):
        portions.add(client, 500)

    assert held_back(portions, 900) == ["alice", "carol"]


@pytest.fixture
def shared(world: World, tmp_path: Path) -> Iterator[Web]:
    """A web process of Alice's and Bob's, where ten images may wait, as Alice has seen to."""
    path = tmp_path / "keys.txt"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n")
    web = Web(world, api_keys_file=str(path), max_backlog=10)
    web.services.backlog._pool = Here()
    files = [(f"{i}.jpg", CHELSEA) for i in range(8)]
    assert web.upload(*files, headers={"X-Api-Key": ALICE}).status_code == 202
    web.services.backlog._stale_at = 0  # so that the next one to ask hears of them
    web.services.backlog.images()
    yield web
    web.services.close()


@pytest.mark.parametrize("path", ["/", "/api/v1/upload", "/api/v1/uploads"])
def test_who_has_filled_the_backlog_is_put_off_and_others_are_not(
    shared: Web, world: World, path: str
) -> None:
    before = len(world.store.images)

    def ask(key: str) -> Answer:
        headers = {"X-Api-Key": key, "Prefer": "wait=0"}
        if path == "/api/v1/uploads":
            return shared.post(path, headers=headers)
        return shared.upload(("1.jpg", CHELSEA), path=path, headers=headers)

    refused = ask(ALICE)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == str(BACKLOG_RETRY_S)
    assert "some 8 of them yours" in refused.text
    if path != "/":
        assert refused.json["code"] == "too_many_requests"
    assert len(world.store.images) == before

    # Bob's is taken in; without a worker there is no answer to wait for
    assert ask(BOB).status_code == {"/": 504, "/api/v1/uploads": 201}.get(path, 202)


def test_what_waits_no_more_is_held_against_nobody(shared: Web, world: World) -> None:
    world.finish(world.take(8))
    shared.services.backlog._stale_at = 0

    assert shared.upload(("1.jpg", CHELSEA), headers={"X-Api-Key": ALICE}).status_code == 202


def test_forms_and_uploads_sent_again_are_counted_as_what_they_queue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = Web(world, reuse_results=True)
    queued: list[int] = []
    monkeypatch.setattr(web.services.portions, "add", lambda _, images: queued.append(images))

    for _ in range(2):
        headers = {"Idempotency-Key": "a"}
        assert web.upload(("1.jpg", CHELSEA), ("x.jpg", b"x"), headers=headers).status_code == 202
    world.finish(world.take(1))
    web.listen()
    assert web.upload(("2.jpg", CHELSEA)).json["jobs"][0]["reused_from"]
    assert web.post("/api/v1/uploads", json={"files": [{}] * 3}).status_code == 201

    assert queued == [1, 0, 3]
