"""Images whose very bytes were answered before are answered the same, without any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fakes
from clock import Clock
from imagefleet_core import keys, replies
from imagefleet_core.errors import DecodeError, Unavailable
from imagefleet_core.jobs import JobId, Request, Result, new_batch_id
from imagefleet_web.keys import make
from imagefleet_web.reuse import segment, sharing
from imagefleet_web.reuse.index import Answered, Index, Model, identity
from imagefleet_web.reuse.segment import Segment
from imagefleet_web.reuse.sharing import FEW, Sharing
from imagefleet_web.rights import owners
from web_tier import CHELSEA, COFFEE, MEASURED, Answer, Web, World, result_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ALICE, ALICE_LINE = make("alice")
BOB, BOB_LINE = make("bob")


Start = Callable[..., Web]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts web processes that answer from stored results."""
    started: list[Web] = []

    def start(world: World, **settings: Any) -> Web:
        started.append(Web(world, reuse_results=True, **settings))
        share(started[-1])
        return started[-1]

    yield start
    for web in started:
        web.services.close()


@pytest.fixture
def web(world: World, start: Start) -> Web:
    """A web process that answers from stored results."""
    return start(world)


@pytest.fixture
def other(world: World, start: Start) -> Web:
    """A second one."""
    return start(world)


def share(*webs: Web) -> None:
    """Let processes tell each other what they learned."""
    for _ in range(2):
        for web in webs:
            web.services.background._turns["sharing known answers"]()


def work(world: World, web: Web, model: str = "played@1", at: datetime | None = None) -> None:
    """Let a worker do all that is queued, and the process that asked hear of it."""
    for request in world.take(len(world.queued())):
        result = replace(result_of(request), model=model)
        if at:
            result = replace(result, finished_at=at)
        world.store.put_result(result)
        world.queues.open(str(request.reply_to)).send([replies.encode(result)])
    web.listen()


def answered(world: World, web: Web, *files: tuple[str, bytes], **work_: Any) -> Answer:
    """Upload files and let a worker answer them."""
    told = web.upload(*(files or [("cat.jpg", CHELSEA)]))
    assert told.status_code == 202
    work(world, web, **work_)
    return told


def test_the_same_bytes_are_answered_at_once(web: Web, other: Web, world: World) -> None:
    first = answered(world, web).json["jobs"][0]

    again = web.upload(("again.jpg", CHELSEA))

    (job,) = again.json["jobs"]
    assert again.status_code == 200
    assert (job["status"], job["name"], job["label"]) == ("done", "again.jpg", "cat.jpg 1")
    before = web.get(first["url"]).json
    assert [job[name] for name in ("top", "score", "model")] == [
        before[name] for name in ("top", "score", "model")
    ]
    assert job["reused_from"] == first["id"] != job["id"]
    assert before["reused_from"] is None
    assert job["submitted_at"] <= job["started_at"] <= job["finished_at"]
    assert job["finished_at"] > before["finished_at"]
    assert job["worker"].startswith("web-")
    # and all of it is stored as ever, for every process, but for a request
    assert world.queued() == []
    for process in (web, other):
        assert process.get(job["url"]).json == job
        assert process.get(f"{job['url']}/image").data == CHELSEA
        assert process.get(again.json["url"]).json["done"] == 1


def test_no_answer_is_older_than_its_upload_though_the_ids_of_a_burst_run_ahead(
    web: Web, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(world, web)
    ahead = datetime.now(UTC) + timedelta(minutes=1)
    monkeypatch.setattr("imagefleet_web.reuse.known.made_at", lambda batch: ahead)

    (job,) = web.upload(("again.jpg", CHELSEA)).json["jobs"]

    assert job["submitted_at"] <= job["started_at"] <= job["finished_at"]


def test_one_image_is_answered_with_its_label_alone(web: Web, world: World) -> None:
    answered(world, web)

    answer = web.upload(("x.jpg", CHELSEA), path="/")

    assert (answer.status_code, answer.text) == (200, "cat.jpg 1\n")


def test_an_output_is_answered_too(web: Web, world: World) -> None:
    answered(world, web, ("measured.jpg", CHELSEA))

    (job,) = web.upload(("again.jpg", CHELSEA)).json["jobs"]

    assert (job["status"], job["output"], job["label"]) == ("done", MEASURED, None)


def test_only_what_is_not_known_is_worked_on(web: Web, world: World) -> None:
    answered(world, web)

    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE), ("3.jpg", CHELSEA))

    assert told.status_code == 202
    assert [job["status"] for job in told.json["jobs"]] == ["done", "pending", "done"]
    assert [request.name for request in world.queued()] == ["2.jpg"]
    work(world, web)
    batch = web.get(told.json["url"]).json
    assert [job["label"] for job in batch["jobs"]] == ["cat.jpg 1", "2.jpg 1", "cat.jpg 1"]


def test_who_follows_a_batch_hears_of_what_was_known(web: Web, world: World) -> None:
    answered(world, web)
    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", CHELSEA)).json

    events = web.get(f"{told['url']}/events").text

    assert events.count("event: result") == 2
    assert "event: end" in events


def test_whoever_attends_to_results_hears_of_what_was_known(web: Web, world: World) -> None:
    """Callbacks do, and whoever counts."""
    answered(world, web)
    heard: list[Result] = []
    web.services.hub.attend(heard.append)

    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", CHELSEA)).json

    assert [str(result.job) for result in heard] == [job["id"] for job in told["jobs"]]
    counted = 'imagefleet_web_results_total{code="",status="done",way="reused"} 2.0'
    assert counted in web.get("/metrics").text


def test_a_failure_is_no_answer(web: Web, world: World) -> None:
    answered(world, web, ("broken.jpg", CHELSEA))

    assert web.upload(("again.jpg", CHELSEA)).status_code == 202
    assert len(world.queued()) == 1


def test_a_failure_that_is_put_right_is_an_answer(web: Web, world: World) -> None:
    """As `scripts/redrive` has it."""
    job = answered(world, web, ("broken.jpg", CHELSEA)).json["jobs"][0]
    world.store.put_result(done(job["id"]))
    assert web.get(job["url"]).json["status"] == "done"

    assert web.upload(("again.jpg", CHELSEA)).status_code == 200


def done(job: str) -> Result:
    """Return the result of a job, which a worker has done."""
    parsed = JobId.parse(job)
    return result_of(Request(parsed, keys.input_key(parsed, "cat.jpg"), "cat.jpg", None, NOW))


def test_a_client_can_ask_for_work_all_the_same(web: Web, world: World) -> None:
    answered(world, web)

    fresh = web.upload(("2.jpg", CHELSEA), headers={"Cache-Control": "no-cache"})

    assert fresh.status_code == 202
    assert len(world.queued()) == 1
    work(world, web)
    # and what comes of it is learned
    (job,) = web.upload(("3.jpg", CHELSEA)).json["jobs"]
    assert (job["label"], job["reused_from"]) == ("2.jpg 1", fresh.json["jobs"][0]["id"])


def test_it_can_be_switched_off(world: World) -> None:
    web = Web(world, reuse_results=False)
    answered(world, web)

    assert web.upload(("again.jpg", CHELSEA)).status_code == 202
    assert not [key for key in world.store.results if key.startswith(keys.ANSWERS)]
    web.services.close()


# Whose answers


def test_nobody_is_answered_from_anothers_upload(
    start: Start, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n")
    web = start(world, api_keys_file=str(path))
    alice, bob = ({"X-Api-Key": key} for key in (ALICE, BOB))
    assert web.upload(("1.jpg", CHELSEA), headers=alice).status_code == 202
    work(world, web)

    assert web.upload(("2.jpg", CHELSEA), headers=bob).status_code == 202
    work(world, web)

    (job,) = web.upload(("3.jpg", CHELSEA), headers=bob).json["jobs"]
    assert job["label"] == "2.jpg 1"
    assert owners.may_see("bob", job["reused_from"][:36])
    assert web.upload(("4.jpg", CHELSEA), headers=alice).json["jobs"][0]["label"] == "1.jpg 1"


def test_an_image_of_nobodys_is_no_image_of_somebodys() -> None:
    content = bytes(32)

    assert len({identity(owner, content) for owner in (None, "", "a", "b")}) == 4


# Models


def test_a_newer_model_has_answers_of_its_own(web: Web, world: World) -> None:
    answered(world, web, ("1.jpg", CHELSEA), ("2.jpg", COFFEE), model="net@1")
    answered(world, web, ("new.jpg", CHELSEA + b"1"), model="net@2")

    told = web.upload(("again.jpg", CHELSEA))

    assert told.status_code == 202
    work(world, web, model="net@2")
    (job,) = web.upload(("once more.jpg", CHELSEA)).json["jobs"]
    assert (job["label"], job["model"]) == ("again.jpg 1", "net@2")


def test_an_old_answer_that_is_heard_of_late_makes_no_model_new(web: Web, world: World) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    answered(world, web, model="net@2")
    answered(world, web, ("old.jpg", COFFEE), model="net@1", at=past)

    assert web.upload(("again.jpg", CHELSEA)).status_code == 200
    assert web.upload(("old again.jpg", COFFEE)).status_code == 202


def test_a_copy_of_an_old_answer_makes_no_model_new(web: Web, other: Web, world: World) -> None:
    # given a process that has not heard of the newer model, and answers from the older one
    answered(world, web, model="net@1")
    answered(world, other, ("new.jpg", COFFEE), model="net@2")
    copy = web.upload(("again.jpg", CHELSEA)).json

    # when the one that has heard of it is asked for that answer
    assert other.get(copy["url"]).json["jobs"][0]["model"] == "net@1"

    assert other.upload(("new again.jpg", COFFEE)).status_code == 200


def test_a_model_that_comes_back_has_its_answers_back(web: Web, world: World) -> None:
    answered(world, web, model="net@1")
    answered(world, web, ("2.jpg", CHELSEA + b"2"), model="net@2")
    answered(world, web, ("3.jpg", CHELSEA + b"3"), model="net@1")

    assert web.upload(("again.jpg", CHELSEA)).status_code == 200


def test_a_clock_that_is_ahead_does_not_make_a_model_the_newest_for_long(
    web: Web, world: World
) -> None:
    ahead = datetime.now(UTC) + timedelta(days=365)
    answered(world, web, ("1.jpg", CHELSEA + b"1"), model="net@1", at=ahead)

    answered(world, web, model="net@2")

    assert web.upload(("again.jpg", CHELSEA)).json["jobs"][0]["model"] == "net@2"


# Answers that are gone


@pytest.mark.parametrize("by_another", [False, True])
def test_a_deleted_batch_answers_nothing(
    web: Web, other: Web, world: World, by_another: bool
) -> None:
    first = answered(world, web).json
    deleting = other if by_another else web
    assert deleting.request("DELETE", first["url"]).status_code == 204
    # and not even if a worker had the image in its hands
    world.store.put_result(done(first["jobs"][0]["id"]))

    assert web.upload(("again.jpg", CHELSEA)).status_code == 202
    assert len(world.queued()) == 1


def test_an_answer_that_was_forgotten_is_worked_out_again(web: Web, world: World) -> None:
    first = answered(world, web).json
    del world.store.results[f"{first['batch']}/0001.json"]

    assert answered(world, web, ("again.jpg", CHELSEA)).status_code == 202
    assert web.upload(("once more.jpg", CHELSEA)).json["jobs"][0]["label"] == "again.jpg 1"


def test_an_answer_outlives_a_copy_that_is_deleted(web: Web, world: World) -> None:
    answered(world, web)
    copy = web.upload(("copy.jpg", CHELSEA)).json
    web.request("DELETE", copy["url"])

    assert web.upload(("again.jpg", CHELSEA)).status_code == 200


# What fails


@pytest.mark.parametrize("call", ["get_result", "is_deleted", "put_result"])
def test_where_the_store_fails_an_image_is_worked_on(web: Web, world: World, call: str) -> None:
    answered(world, web)
    world.store.outage.begin(call)

    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE))

    world.store.outage.end()
    assert told.status_code == 202
    assert sorted(request.name for request in world.queued()) == ["1.jpg", "2.jpg"]
    work(world, web)
    # an outage is no reason to forget
    assert web.upload(("3.jpg", CHELSEA)).status_code == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda results, key: results.update({key: b"{}"}),
        lambda results, key: results.update({key: results[key].replace(b"played@1", b"odd@7")}),
    ],
)
def test_an_answer_that_makes_no_sense_is_none(
    web: Web, world: World, spoil: Callable[[dict[str, bytes], str], None]
) -> None:
    first = answered(world, web).json
    spoil(world.store.results, f"{first['batch']}/0001.json")

    assert web.upload(("again.jpg", CHELSEA)).status_code == 202


def test_not_even_a_bug_keeps_an_image_from_being_worked_on(web: Web, world: World) -> None:
    answered(world, web)

    def fail(*_: object) -> NoReturn:
        raise TypeError("a bug")

    world.store.get_result = fail  # type: ignore[assignment]

    assert web.upload(("again.jpg", CHELSEA)).status_code == 202
    assert len(world.queued()) == 1


def test_of_an_upload_that_fails_nothing_is_answered(web: Web, world: World) -> None:
    answered(world, web)
    world.requests.outage.begin("send")

    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE))

    assert told.status_code == 503
    batches = web.get("/api/v1/batches").json["batches"]
    assert len(batches) == 1
    assert len([key for key in world.store.results if key.endswith(".json")]) == 1


# Other processes, and later ones


def test_processes_learn_from_each_other(web: Web, other: Web, world: World) -> None:
    answered(world, web)
    assert other.upload(("unknown.jpg", CHELSEA)).status_code == 202
    world.take(1)

    share(web, other)

    assert other.upload(("again.jpg", CHELSEA)).status_code == 200


def test_a_process_that_comes_later_knows_what_was_learned(
    start: Start, web: Web, world: World
) -> None:
    answered(world, web, ("1.jpg", CHELSEA), model="net@1")
    share(web)
    answered(world, web, ("2.jpg", COFFEE), model="net@2")
    share(web)

    later = start(world)

    (job,) = later.upload(("again.jpg", COFFEE)).json["jobs"]
    assert (job["status"], job["label"]) == ("done", "2.jpg 1")
    # and which model is the newest one
    assert later.upload(("old.jpg", CHELSEA)).status_code == 202


def test_what_cannot_be_read_hides_nothing_else(start: Start, web: Web, world: World) -> None:
    answered(world, web)
    share(web)
    for milliseconds, body in ((1, b"{}"), (2**47, b'{"v": 1, "model": 7}')):
        world.store.write_note(keys.answers_key(milliseconds, "odd"), body)

    later = start(world)

    assert later.upload(("again.jpg", CHELSEA)).status_code == 200


def test_at_rest_nothing_is_asked_or_written(web: Web, world: World) -> None:
    answered(world, web)
    share(web)
    for call in ("note_keys", "read_note", "write_note"):
        world.store.outage.begin(call)

    share(web)


# Idempotency keys

KEY = {"Idempotency-Key": "a key"}


def test_an_upload_that_is_repeated_is_the_same_batch(web: Web, other: Web, world: World) -> None:
    answered(world, web)
    first = web.upload(("1.jpg", CHELSEA), headers=KEY)

    for process in (web, other):
        again = process.upload(("1.jpg", CHELSEA), headers=KEY)

        assert again.headers["Idempotent-Replayed"] == "true"
        assert (again.status_code, again.json) == (200, first.json)
    assert len(web.get("/api/v1/batches").json["batches"]) == 2


class Killed(BaseException):
    """The process that meets it is no more."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["put_result", "send", "write_note"])
def test_what_a_killed_process_began_is_gone_on_with(start: Start, call: str, after: bool) -> None:
    """It dies before or after: it tells that all is stored, queues, answers what is known."""
    # given one image that is known to both processes and one that isn't
    clock = Clock()
    world = World(clock)
    web = start(world)
    answered(world, web)
    share(web)
    other = start(world)
    files = ("1.jpg", CHELSEA), ("2.jpg", COFFEE)
    target: Any = world.requests if call == "send" else world.store
    original, number = getattr(target, call), 0

    def die(*args: Any) -> Any:
        nonlocal number
        number += 1
        if number == (2 if call == "write_note" else 1):  # the first claims the key
            if after:
                original(*args)
            raise Killed
        return original(*args)

    setattr(target, call, die)
    with pytest.raises(Killed):
        web.upload(*files, headers=KEY)
    setattr(target, call, original)
    clock.now += 61

    # when the client comes to another one
    told = other.upload(*files, headers=KEY)

    # then each image has one result, the right one, and nothing else is left
    assert told.status_code in {200, 202}
    work(world, other)
    batch = other.get(told.json["url"]).json
    assert [(job["name"], job["status"]) for job in batch["jobs"]] == [
        ("1.jpg", "done"),
        ("2.jpg", "done"),
    ]
    assert [job["label"] for job in batch["jobs"]] == ["cat.jpg 1", "2.jpg 1"]
    assert len(other.get("/api/v1/batches").json["batches"]) == 2
    assert len(world.store.images) == 3


# The index


def answer(number: int, model: str = "net@1") -> Answered:
    return Answered(JobId(new_batch_id(), number), model)


def test_the_index_forgets_what_was_asked_for_longest_ago() -> None:
    index = Index(most=2)
    index.heard(Model("net@1", NOW))
    first, second, third = (answer(number) for number in (1, 2, 3))
    index.put(b"1", first)
    index.put(b"2", second)
    assert index.get(b"1") == first

    index.put(b"3", third)

    assert [index.get(image) for image in (b"1", b"2", b"3")] == [first, None, third]


def test_of_several_answers_the_latest_counts() -> None:
    index = Index()
    index.heard(Model("net@1", NOW))
    early, late = answer(1), answer(1)
    index.put(b"1", late)
    index.put(b"1", early)
    index.forget(b"1", early)

    assert index.get(b"1") == late


# Segments


def entries(count: int) -> list[tuple[bytes, Answered]]:
    return [(number.to_bytes(32, "big"), answer(number)) for number in range(1, count + 1)]


@given(
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 9999), st.text())),
    st.text(),
)
def test_a_segment_comes_back_as_it_was_written(
    some: list[tuple[bytes, int, str]], newest: str
) -> None:
    told = [(image, answer(number, model)) for image, number, model in some]
    written = Segment(Model(newest.encode("utf-8", "ignore").decode(), NOW), told)
    if any("\ud800" <= char <= "\udfff" for _, _, model in some for char in model):
        return

    read = Segment.decode(written.encode())

    assert (read.newest, list(read.answered)) == (written.newest, told)


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-1],
        lambda body: body.replace(b'"v":1', b'"v":2'),
        lambda body: body.replace(b'"image":"00', b'"image":"xy'),
        lambda body: body.replace(b'"job":"', b'"job":"_'),
        lambda body: body.replace(b'"model":', b'"m":'),
        lambda body: body.replace(b'"at":', b'"a":'),
    ],
)
def test_damage_is_told(damage: Callable[[bytes], bytes]) -> None:
    body = Segment(Model("net@1", NOW), entries(1)).encode()

    with pytest.raises(DecodeError):
        Segment.decode(damage(body))


def shared(store: fakes.MemoryStore, clock: Clock, most: int = 1000) -> tuple[Sharing, Index]:
    index = Index(most)
    return Sharing(store, index, clock=clock), index


def test_what_is_learned_together_is_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MOST", 40)
    store, clock = fakes.MemoryStore(), Clock()
    one, _ = shared(store, clock)
    for each in entries(100):
        one.learned(*each)

    one.turn()

    assert len(store.results) == 3
    _, index = reader = shared(store, clock)
    reader[0].turn()
    index.heard(Model("net@1", NOW))
    assert all(index.get(image) for image, _ in entries(100))


def test_what_cannot_be_written_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MOST_UNTOLD", 60)
    store, clock = fakes.MemoryStore(), Clock()
    one, _ = shared(store, clock)
    for each in entries(50):
        one.learned(*each)
    store.outage.begin("write_note")
    with pytest.raises(Unavailable):
        one.turn()
    for each in entries(70)[50:]:
        one.learned(*each)
    store.outage.end()

    one.turn()

    (body,) = store.results.values()
    numbers = [each.job.number for _, each in Segment.decode(body).answered]
    assert numbers == list(range(11, 71))  # of too many the oldest are dropped


def test_what_cannot_be_read_now_is_read_later() -> None:
    store, clock = fakes.MemoryStore(), Clock()
    one, _ = shared(store, clock)
    one.learned(b"1", answer(1))
    one.turn()
    other, index = shared(store, clock)
    store.outage.begin("read_note", 1)
    with pytest.raises(Unavailable):
        other.turn()

    other.turn()

    index.heard(Model("net@1", NOW))
    assert index.get(b"1")


def test_the_newest_are_read_first_and_no_more_than_there_is_room_for() -> None:
    store, clock = fakes.MemoryStore(), Clock()
    one, _ = shared(store, clock)
    for each in entries(3 * FEW):
        clock.now += 10
        one.learned(*each)
        one.turn()
    later, index = shared(store, clock, most=2 * FEW)
    reads = counted(store, "read_note")

    later.turn()

    assert len(reads) == 2 * FEW
    index.heard(Model("net@1", NOW))
    known = [index.get(image) is not None for image, _ in entries(3 * FEW)]
    assert known == [False] * FEW + [True] * 2 * FEW
    # and then only those that are new
    one.learned(b"new", answer(1))
    one.turn()
    later.asked()
    later.turn()
    assert len(reads) == 2 * FEW + 1
    assert index.get(b"new")


def test_of_too_many_the_newest_are_remembered() -> None:
    store, clock = fakes.MemoryStore(), Clock()
    one, _ = shared(store, clock)
    some = entries(6)
    for pair in (some[:2], some[2:4], some[4:]):
        clock.now += 10
        for each in pair:
            one.learned(*each)
        one.turn()
    later, index = shared(store, clock, most=3)

    later.turn()

    index.heard(Model("net@1", NOW))
    known = [index.get(image) is not None for image, _ in some]
    assert known[:2] == [False, False]
    assert known[4:] == [True, True]


def counted(store: fakes.MemoryStore, call: str) -> list[Any]:
    """Return a list that fills with the calls of one kind."""
    calls: list[Any] = []
    original = getattr(store, call)

    def counting(*args: Any) -> Any:
        calls.append(args)
        return original(*args)

    setattr(store, call, counting)
    return calls
