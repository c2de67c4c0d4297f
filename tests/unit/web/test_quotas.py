"""Images a day: counted over processes, restarts and days, and told to clients."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from structlog.testing import capture_logs

import fakes
import s3_server
from clock import Clock
from imagefleet_core.aws import Aws
from imagefleet_core.errors import Unavailable
from imagefleet_core.s3 import S3Store
from imagefleet_core.store import Store
from imagefleet_web.keys import Keys, KeysError, make
from imagefleet_web.rights import quotas as quotas_module
from imagefleet_web.rights import ratelimit
from imagefleet_web.rights.quotas import FRESH_S, Quotas
from imagefleet_web.rights.ratelimit import Limit
from imagefleet_web.rights.shares import Shares
from s3_server import REGION, S3Server
from web_tier import CHELSEA, Web, World, eventually

# Two hours before midnight.
EVENING = datetime(2026, 1, 31, 22, 0, tzinfo=UTC).timestamp()
PICTURE = ("1.jpg", CHELSEA)


@pytest.fixture
def clock() -> Clock:
    return Clock(EVENING)


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The fake store and the real one."""
    if request.param == "memory":
        yield fakes.MemoryStore()
        return
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws(), S3Server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        for bucket in ("input", "results"):
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(bucket, REGION)
        session = boto3.Session("test", s3_server.SECRETS["test"], region_name=REGION)
        s3 = Aws(session).s3(4)
        yield S3Store(s3, input_bucket="input", results_bucket="results")


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., Quotas]]:
    """Start processes that count, each with a name."""
    pool = ThreadPoolExecutor(8)

    def start(name: str, store: Store, limit: int = 100) -> Quotas:
        return Quotas(store, pool, lambda _: limit, process=name, clock=clock, wall_clock=clock)

    yield start
    pool.shutdown()


def used(quotas: Quotas, client: str = "alice") -> int:
    day = quotas.day(client)
    assert day
    return day.used


def test_what_was_counted_outlives_the_process(
    store: Store, start: Callable[..., Quotas], clock: Clock
) -> None:
    first = start("first", store)
    first.charge("alice", 30)
    first.charge("alice", 12)
    first.charge("bob", 5)
    first.turn()

    second = start("second", store)

    assert (used(second), used(second, "bob"), used(second, "carol")) == (42, 5, 0)
    second.charge("alice", 8)
    second.turn()
    assert used(start("third", store)) == 50


def test_processes_learn_of_each_other_by_telling_what_they_counted(
    store: Store, start: Callable[..., Quotas], clock: Clock
) -> None:
    processes = [start(name, store) for name in ("a", "b", "c")]
    for round_ in range(1, 4):
        for each in processes:
            each.charge("alice", 1)
        for each in (*processes, *processes):
            each.turn()
        # the last one knew of all others, and who did not is told when it counts again
        assert used(processes[-1]) == 3 * round_


def test_nothing_is_lost_or_doubled_however_many_tell_at_once(
    store: Store, start: Callable[..., Quotas]
) -> None:
    processes = [start(f"process {i}", store) for i in range(4)]

    def work(quotas: Quotas) -> None:
        for _ in range(5):
            quotas.charge("alice", 1)
            quotas.turn()

    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(work, processes))
    for each in processes:
        each.turn()  # what was not told in so many tries

    assert used(start("later", store)) == 20


def test_a_process_that_only_asks_learns_it_in_the_background(
    start: Callable[..., Quotas], clock: Clock
) -> None:
    store = fakes.MemoryStore()
    asking, counting = start("asking", store), start("counting", store)
    assert used(asking) == 0
    counting.charge("alice", 7)
    counting.turn()
    assert used(asking) == 0

    clock.now += FRESH_S

    used(asking)
    eventually(lambda: used(asking) == 7)


def test_however_often_it_is_asked_the_store_is_asked_once(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = ThreadPoolExecutor(1)
    quotas = Quotas(
        fakes.MemoryStore(), pool, lambda _: 9, process="a", clock=clock, wall_clock=clock
    )
    assert used(quotas) == 0
    clock.now += FRESH_S
    submitted: list[object] = []
    monkeypatch.setattr(pool, "submit", lambda *args, **_: submitted.append(args))

    for _ in range(100):
        used(quotas)

    assert len(submitted) == 1
    pool.shutdown()


def test_each_day_is_counted_anew(start: Callable[..., Quotas], clock: Clock) -> None:
    store = fakes.MemoryStore()
    quotas = start("a", store)
    quotas.charge("alice", 100)
    quotas.turn()
    day = quotas.day("alice")
    assert day
    assert (day.left, day.ends_in_s) == (0, 7200)
    assert day.ends_at == datetime(2026, 2, 1, tzinfo=UTC)

    clock.now += 7200

    assert used(quotas) == 0
    quotas.charge("alice", 1)
    quotas.turn()
    assert used(start("b", store)) == 1
    assert [key.split("/")[1] for key in store.note_keys("usage/")] == ["2026-01-31", "2026-02-01"]


def test_who_has_no_quota_is_not_counted(start: Callable[..., Quotas]) -> None:
    store = fakes.MemoryStore()
    quotas = start("a", store, limit=0)
    store.outage.begin()

    quotas.charge("alice", 1000)
    quotas.turn()

    assert quotas.day("alice") is None


def calls(store: fakes.MemoryStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def note(name: str) -> None:
        made.append(name)

    monkeypatch.setattr(store.outage, "check", note)
    return made


def test_a_process_alone_writes_and_never_reads_again(
    start: Callable[..., Quotas], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fakes.MemoryStore()
    made = calls(store, monkeypatch)
    quotas = start("a", store)
    for _ in range(30):
        for _ in range(50):
            assert used(quotas) >= 0
            quotas.charge("alice", 1)
        clock.now += quotas.turn()

    assert made.count("write_note") == 30
    assert made.count("read_note") == 1


def test_a_process_at_rest_makes_no_call(
    start: Callable[..., Quotas], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fakes.MemoryStore()
    quotas = start("a", store)
    quotas.charge("alice", 1)
    quotas.turn()
    made = calls(store, monkeypatch)

    for _ in range(100):
        clock.now += quotas.turn()

    assert made == []


def test_while_the_store_does_not_answer_a_process_counts_on(
    start: Callable[..., Quotas], clock: Clock
) -> None:
    store = fakes.MemoryStore()
    before = start("before", store)
    before.charge("alice", 10)
    before.turn()
    quotas = start("a", store)
    store.outage.begin()

    with capture_logs() as logs:
        assert used(quotas) == 0
        quotas.charge("alice", 5)
        quotas.turn()
        for _ in range(100):
            assert used(quotas) == 5
    assert {line["log_level"] for line in logs} == {"warning"}
    assert len(logs) < 5  # and not one for each time that it is asked

    store.outage.end()
    quotas.turn()
    assert used(quotas) == 15


def test_what_was_told_though_no_answer_came_is_counted_once(
    start: Callable[..., Quotas], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fakes.MemoryStore()
    quotas = start("a", store)
    quotas.charge("alice", 5)
    write = store.write_note

    def write_unanswered(*args: Any) -> str | None:
        write(*args)
        raise Unavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_note", write_unanswered)
        quotas.turn()
    quotas.charge("alice", 1)
    quotas.turn()

    assert used(quotas) == used(start("b", store)) == 6


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"v":1,"images":3}', b'{"v":1,"images":{"x":-1}}']
)
def test_what_nobody_understands_counts_as_nothing(
    start: Callable[..., Quotas], content: bytes
) -> None:
    store = fakes.MemoryStore()
    quotas = start("a", store)
    quotas.charge("alice", 1)
    quotas.turn()
    (key,) = store.note_keys("usage/")
    store.results[key] = content
    later = start("b", store)

    assert used(later) == 0
    later.charge("alice", 2)
    later.turn()
    assert used(start("c", store)) == 2


def test_clients_are_not_told_by_the_names_of_notes(start: Callable[..., Quotas]) -> None:
    store = fakes.MemoryStore()
    quotas = start("a", store)
    quotas.charge("192.0.2.1", 1)
    quotas.turn()

    (key,) = store.note_keys("usage/")
    assert re.fullmatch("usage/2026-01-31/[0-9a-f]{64}", key)
    assert b"192" not in store.results[key]


def test_the_clients_that_are_remembered_are_few_and_the_others_are_read_again(
    start: Callable[..., Quotas], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas_module, "MOST_CLIENTS", 3)
    quotas = start("a", fakes.MemoryStore())
    for client in "abcde":
        quotas.charge(client, 2)
        quotas.turn()

    assert len(quotas._known) == 3
    assert [used(quotas, client) for client in "abcde"] == [2] * 5


def test_one_that_is_forgotten_counts_on_from_what_it_told(
    start: Callable[..., Quotas], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas_module, "MOST_CLIENTS", 1)
    store = fakes.MemoryStore()
    quotas = start("a", store)
    for client in "abab":
        quotas.charge(client, 2)
        quotas.turn()

    assert used(start("b", store), "a") == 4


def test_the_end_of_a_process_tells_what_it_counted(start: Callable[..., Quotas]) -> None:
    store = fakes.MemoryStore()
    quotas = start("a", store)
    quotas.charge("alice", 3)

    quotas.close()

    assert used(start("b", store)) == 3


# Keys


def test_a_line_may_tell_the_images_of_a_day(tmp_path: Path) -> None:
    lines = [make(name, quota)[1] for name, quota in (("alice", 10), ("bob", 0), ("carol", None))]
    path = tmp_path / "keys.txt"
    path.write_text("\n".join([*lines, make("alice")[1]]))

    keys = Keys(path)

    assert [keys.images_a_day(name) for name in ("alice", "bob", "carol", "dave")] == [
        10,
        0,
        None,
        None,
    ]


@pytest.mark.parametrize("quota", [":", ":-1", ":1.5", ":x", ":1000000000", ":1:2", ": 1"])
def test_what_is_no_number_of_images_is_an_error(tmp_path: Path, quota: str) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(make("alice")[1] + quota)

    with pytest.raises(KeysError, match="line 1"):
        Keys(path)


def test_a_name_has_one_quota(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("\n".join(make("alice", quota)[1] for quota in (10, 10)))
    assert Keys(path).images_a_day("alice") == 10

    path.write_text("\n".join(make("alice", quota)[1] for quota in (10, 11)))
    with pytest.raises(KeysError, match=r"line 2 .* alice"):
        Keys(path)


# Headers


def test_limits_are_told_as_the_draft_has_it() -> None:
    told = ratelimit.headers([Limit("a", 600, 60, 540, 1), Limit("b", 1000, 86400, 0, 7200)])

    assert told == {
        "RateLimit-Policy": '"a";q=600;qu="images";w=60, "b";q=1000;qu="images";w=86400',
        "RateLimit": '"a";r=540;t=1, "b";r=0;t=7200',
    }
    assert ratelimit.headers([]) == {}


def test_a_share_tells_what_is_left_and_when_there_is_more(clock: Clock) -> None:
    share = Shares(images_a_minute=30, uploads=0, clock=clock)

    def standing() -> tuple[int, int]:
        limit = share.limit("alice")
        assert limit
        return limit.left, limit.more_in_s

    assert standing() == (30, 0)
    share.begin("alice")
    share.end("alice", 1)
    assert standing() == (29, 2)
    share.begin("alice")
    share.end("alice", 32)
    assert standing() == (0, 8)
    assert Shares(images_a_minute=0, uploads=0).limit("alice") is None


# Requests


@pytest.fixture
def limited(world: World) -> Iterator[Web]:
    """A web process that takes three images a day of each client, and ten a minute."""
    web = Web(world, max_images_per_day=3, max_images_per_minute=10)
    yield web
    web.services.close()


@pytest.mark.parametrize("path", ["/", "/api/v1/upload", "/api/v1/uploads"])
def test_a_client_over_its_quota_is_told_when_the_next_day_begins(
    limited: Web, world: World, path: str
) -> None:
    limited.upload(*[PICTURE] * 2)
    # as long as something is left an upload may begin, whatever its size
    assert limited.upload(*[PICTURE] * 2).status_code == 202

    refused = (
        limited.post(path, json={"files": [{"name": "1.jpg", "type": "image/jpeg"}]})
        if path == "/api/v1/uploads"
        else limited.upload(PICTURE, path=path)
    )

    assert refused.status_code == 429
    seconds = int(refused.headers["Retry-After"])
    assert 0 < seconds <= 24 * 3600
    assert f'"images-per-day";r=0;t={seconds}' in refused.headers["RateLimit"]
    if path != "/":
        assert refused.json["code"] == "quota_exceeded"
    assert len(world.store.images) == 4


def test_answers_to_uploads_tell_what_is_left(limited: Web) -> None:
    first = limited.upload(*[PICTURE] * 2)

    assert first.headers["RateLimit-Policy"] == (
        '"images-per-minute";q=10;qu="images";w=60, "images-per-day";q=3;qu="images";w=86400'
    )
    assert re.fullmatch(
        r'"images-per-minute";r=8;t=[1-6], "images-per-day";r=1;t=\d+', first.headers["RateLimit"]
    )
    assert "RateLimit" not in limited.get(first.json["url"]).headers


def test_without_limits_there_are_no_such_headers_and_nothing_is_noted(
    web: Web, world: World
) -> None:
    answer = web.upload(PICTURE)
    web.services.quotas.turn()

    assert not [name for name, _ in answer.headers if name.lower().startswith("ratelimit")]
    assert world.store.note_keys("usage/") == []


def test_what_is_not_accepted_costs_nothing(limited: Web, world: World) -> None:
    assert limited.upload(("1.jpg", b"no picture")).status_code == 415
    world.store.outage.begin("put_image", 1)
    assert limited.upload(PICTURE).status_code == 503

    limited.upload(PICTURE, ("2.jpg", b"no picture"))

    assert limited.get("/api/v1/usage").json["images_per_day"]["used"] == 1


def test_an_upload_that_is_sent_again_is_counted_once(limited: Web) -> None:
    for _ in range(3):
        assert limited.upload(PICTURE, headers={"Idempotency-Key": "k"}).status_code == 202

    assert limited.get("/api/v1/usage").json["images_per_day"]["used"] == 1


def test_forms_count_as_images(limited: Web) -> None:
    files = [{"name": "1.jpg", "type": "image/jpeg"}] * 2
    answer = limited.post("/api/v1/uploads", json={"files": files})
    assert answer.status_code == 201

    assert '"images-per-day";r=1;' in answer.headers["RateLimit"]
    assert limited.get("/api/v1/usage").json["images_per_day"]["used"] == 2


def test_a_quota_holds_for_all_processes(limited: Web, world: World) -> None:
    limited.upload(*[PICTURE] * 3)
    limited.services.quotas.turn()
    other = Web(world, max_images_per_day=3)

    refused = other.upload(PICTURE)

    assert (refused.status_code, refused.json["code"]) == (429, "quota_exceeded")
    other.services.close()


def test_the_background_tells_what_was_counted(limited: Web, world: World) -> None:
    limited.upload(PICTURE)
    limited.services.background.start()

    eventually(lambda: world.store.note_keys("usage/"))


def test_each_key_has_its_own_quota_and_use(world: World, tmp_path: Path) -> None:
    keys, lines = zip(
        *(make(*each) for each in (("alice", 1), ("bob", 0), ("carol",))), strict=True
    )
    (tmp_path / "keys.txt").write_text("\n".join(lines))
    web = Web(world, api_keys_file=str(tmp_path / "keys.txt"), max_images_per_day=2)

    def statuses(key: str) -> list[int]:
        headers = {"X-Api-Key": key}
        return [web.upload(PICTURE, headers=headers).status_code for _ in range(3)]

    alice, bob, carol = keys
    assert statuses(alice) == [202, 429, 429]
    assert statuses(bob) == [202, 202, 202]
    assert statuses(carol) == [202, 202, 429]
    usage = web.get("/api/v1/usage", headers={"X-Api-Key": alice}).json
    assert usage["client"] == "alice"
    assert usage["images_per_day"].items() >= {"limit": 1, "used": 1, "left": 0}.items()
    assert web.get("/api/v1/usage", headers={"X-Api-Key": bob}).json["images_per_day"] is None
    assert web.get("/api/v1/usage").status_code == 401
    web.services.close()


def test_use_is_told_with_its_limits(world: World) -> None:
    web = Web(world, max_images_per_day=5, max_images_per_minute=60, max_uploads_at_once=2)
    web.upload(PICTURE, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})

    told: Any = web.get("/api/v1/usage", environ_overrides={"REMOTE_ADDR": "192.0.2.1"}).json

    assert told.pop("images_per_minute")["left"] in {59, 60}
    resets_at = datetime.fromisoformat(told["images_per_day"].pop("resets_at"))
    assert (resets_at.hour, resets_at.minute, resets_at.second) == (0, 0, 0)
    assert 0 < (resets_at - datetime.now(UTC)).total_seconds() <= 24 * 3600
    assert told == {
        "client": "192.0.2.1",
        "images_per_day": {"limit": 5, "used": 1, "left": 4},
        "uploads_at_once": {"limit": 2, "running": 0},
    }
    web.services.close()


def test_where_there_are_no_limits_use_is_not_counted(web: Web) -> None:
    assert web.get("/api/v1/usage").json == {
        "client": "127.0.0.1",
        "images_per_minute": None,
        "images_per_day": None,
        "uploads_at_once": None,
    }
