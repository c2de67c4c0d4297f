"""Uploads with an Idempotency-Key: each is taken in once, wherever a process dies or dawdles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pytest

from clock import Clock
from imagefleet_core.errors import Unavailable
from imagefleet_core.jobs import Result
from imagefleet_web.uploads import claims
from web_tier import CHELSEA, COFFEE, Answer, Web, World

KEY = {"Idempotency-Key": "a key"}
FILES = ("1.jpg", CHELSEA), ("notes.txt", b"text"), ("2.jpg", COFFEE)
CLAIM_S = 60


class Killed(BaseException):
    """The process ends here; nothing of it runs any more."""


@dataclass(frozen=True)
class Step:
    """The `number`th call of a method while an upload is taken in, just before it or just after."""

    call: str
    number: int
    after: bool


# All that an upload of two images with a key writes, in order: its claim, the images, that they
# are stored, their requests, that these are queued.
STEPS = {
    f"{'after' if after else 'before'} {what}": Step(call, number, after)
    for what, call, number in (
        ("the claim", "write_note", 1),
        ("the first image", "put_image", 1),
        ("the last image", "put_image", 2),
        ("the fence", "write_note", 2),
        ("queueing", "send", 1),
        ("the end", "write_note", 3),
    )
    for after in (False, True)
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


@pytest.fixture
def other(world: World) -> Iterator[Web]:
    """A second web process."""
    web = Web(world)
    yield web
    web.services.close()


def at(world: World, step: Step, do: Callable[[], None]) -> None:
    """Do something, once, at a step of the upload that comes next."""
    target: Any = world.requests if step.call == "send" else world.store
    original, lock, calls = getattr(target, step.call), Lock(), iter(range(1, 100))

    def instead(*args: Any) -> Any:
        with lock:
            number = next(calls)
        if number != step.number:
            return original(*args)
        if not step.after:
            do()
        answer = original(*args)
        if step.after:
            do()
        return answer

    setattr(target, step.call, instead)


def kill_at(world: World, web: Web, step: Step) -> None:
    """Begin an upload in a process that ends at a step of it."""

    def kill() -> None:
        raise Killed

    at(world, step, kill)
    with pytest.raises(Killed):
        web.upload(*FILES, headers=KEY)


def check_once(world: World, web: Web, answer: Answer) -> list[Result]:
    """Let a worker do all that is queued; check that there is one batch, whole, and no more."""
    assert answer.status_code == 202, answer.text
    batch = answer.json["batch"]
    queued = world.queued()
    assert {request.job.batch for request in queued} == {batch}
    assert {request.key: world.store.images[request.key] for request in queued} == {
        f"{batch}/0001-1.jpg": CHELSEA,
        f"{batch}/0002-2.jpg": COFFEE,
    }
    assert len(world.store.images) == 2
    world.finish(queued)
    (told,) = web.get("/api/v1/batches").json["batches"]
    assert (told["batch"], told["total"], told["finished"]) == (batch, 2, 2)
    return [Result.decode(world.store.results[f"{batch}/000{number}.json"]) for number in (1, 2)]


def test_the_same_key_gives_the_same_batch(web: Web, other: Web, world: World) -> None:
    first = web.upload(*FILES, headers=KEY)
    assert "Idempotent-Replayed" not in first.headers

    for process in (web, other):
        again = process.upload(*FILES, headers=KEY)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        assert again.json == first.json
        assert again.headers["Location"] == first.headers["Location"]
    assert len(world.queued()) == 2
    check_once(world, web, first)


def test_a_second_answer_tells_the_results_that_there_are(
    web: Web, other: Web, world: World
) -> None:
    web.upload(*FILES, headers=KEY)
    world.finish(world.queued(), reply=False)

    again = other.upload(*FILES, headers=KEY)

    assert again.status_code == 200
    assert [job["status"] for job in again.json["jobs"]] == ["done", "rejected", "done"]


def test_a_plain_upload_that_was_cut_off_is_asked_for_again(
    web: Web, other: Web, world: World
) -> None:
    late = web.upload(("cat.jpg", CHELSEA), path="/?wait=0", headers=KEY)
    assert late.status_code == 504
    world.finish(world.queued(), reply=False)

    again = other.upload(("cat.jpg", CHELSEA), path="/?wait=0", headers=KEY)

    assert (again.status_code, again.text) == (200, "cat.jpg 1\n")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(world.queued()) == 1


def test_another_key_or_none_gives_another_batch(web: Web, world: World) -> None:
    headers: list[dict[str, str]] = [KEY, {"Idempotency-Key": "another key"}, {}, {}]

    batches = {web.upload(*FILES, headers=each).json["batch"] for each in headers}

    assert len(batches) == len(headers)


def test_without_a_key_nothing_is_noted(web: Web, world: World) -> None:
    world.store.outage.begin("write_note")
    world.store.outage.begin("read_note")

    assert web.upload(*FILES).status_code == 202
    assert world.store.results == {}


@pytest.mark.parametrize(
    "files",
    [
        [("1.jpg", CHELSEA), ("2.jpg", COFFEE)],
        [("1.jpg", COFFEE), ("notes.txt", b"text"), ("2.jpg", CHELSEA)],
        [("one.jpg", CHELSEA), ("notes.txt", b"text"), ("2.jpg", COFFEE)],
        [("2.jpg", COFFEE), ("notes.txt", b"text"), ("1.jpg", CHELSEA)],
    ],
    ids=["one less", "other contents", "another name", "another order"],
)
def test_a_key_of_another_upload_is_refused(
    web: Web, world: World, files: list[tuple[str, bytes]]
) -> None:
    web.upload(*FILES, headers=KEY)

    refused = web.upload(*files, headers=KEY)

    assert (refused.status_code, refused.json["code"]) == (422, "idempotency_key_reused")
    assert len(world.queued()) == len(world.store.images) == 2


def test_an_upload_that_is_refused_leaves_its_key_free(web: Web, world: World) -> None:
    assert web.upload(("1.jpg", b"text"), headers=KEY).status_code == 415

    assert web.upload(*FILES, headers=KEY).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "Schlüssel", "a\tb"])
def test_a_key_that_cannot_be_is_refused(web: Web, world: World, key: str) -> None:
    answer = web.upload(*FILES, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json["code"]) == (400, "bad_idempotency_key")
    assert world.store.images == {}


def test_the_longest_key_is_fine(web: Web) -> None:
    key = {"Idempotency-Key": "~" + "x" * 253 + "!"}

    first, second = (web.upload(*FILES, headers=key) for _ in range(2))

    assert first.json["batch"] == second.json["batch"]


def test_a_key_counts_for_a_day(web: Web, world: World, clock: Clock) -> None:
    first = web.upload(*FILES, headers=KEY)

    clock.now += claims.KEPT_S - 1
    assert web.upload(*FILES, headers=KEY).json["batch"] == first.json["batch"]
    clock.now += 1
    later = web.upload(("1.jpg", COFFEE), headers=KEY)

    # then it is a new one, of whatever files, and the old batch is whole
    assert later.status_code == 202
    assert later.json["batch"] != first.json["batch"]
    assert len(world.store.images) == 3


def test_the_batch_of_a_key_may_be_deleted_and_stays_so(web: Web, world: World) -> None:
    batch = web.upload(*FILES, headers=KEY).json["batch"]
    web.request("DELETE", f"/api/v1/batches/{batch}")

    again = web.upload(*FILES, headers=KEY)

    assert (again.status_code, again.json["code"]) == (410, "deleted")
    assert world.store.images == {}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_an_upload_is_taken_in_once_wherever_its_process_dies(
    web: Web, other: Web, world: World, clock: Clock, step: Step
) -> None:
    # given a process that was killed amid an upload
    kill_at(world, web, step)

    # when the same one comes again at once, and once the dead one's time is over
    early = other.upload(*FILES, headers=KEY)
    if early.status_code == 409:
        assert early.json["code"] == "upload_in_progress"
        assert int(early.headers["Retry-After"]) > 0
    clock.now += CLAIM_S
    answer = other.upload(*FILES, headers=KEY)

    # then it is taken in once, and each image is worked on twice only if that can't be known
    if early.status_code != 409:
        assert early.json["batch"] == answer.json["batch"]
    check_once(world, other, answer)
    requests = Counter(request.job for request in world.queued())
    unknown = step in {STEPS["after queueing"], STEPS["before the end"]}
    assert set(requests.values()) == {2 if unknown else 1}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_an_upload_is_taken_in_once_wherever_its_process_dawdles(
    web: Web, other: Web, world: World, clock: Clock, step: Step
) -> None:
    # given a process that stands still amid an upload, until another one has taken it over
    taken_over: list[Answer] = []

    def dawdle() -> None:
        clock.now += CLAIM_S
        taken_over.append(other.upload(*FILES, headers=KEY))

    at(world, step, dawdle)

    slow = web.upload(*FILES, headers=KEY)

    # then whoever is answered is told the same batch, which is whole
    (fast,) = taken_over
    assert {fast.status_code, slow.status_code} <= {202, 409}
    batches = {each.json["batch"] for each in (fast, slow) if each.status_code == 202}
    again = other.upload(*FILES, headers=KEY)
    assert {again.json["batch"]} == batches
    check_once(world, other, again)


FAILURES = {
    name: (step.call, step.number - 1)
    for name, step in STEPS.items()
    if name.startswith("before") and name != "before the end"
}


@pytest.mark.parametrize(("call", "before"), FAILURES.values(), ids=FAILURES)
def test_an_upload_that_failed_may_come_again(
    web: Web, other: Web, world: World, call: str, before: int
) -> None:
    """Once, with what would be left of a first one gone; at once, as it was given up."""
    outage = world.requests.outage if call == "send" else world.store.outage
    at(world, Step(call, before + 1, after=False), lambda: outage.begin(call, 1))

    failed = web.upload(*FILES, headers=KEY)
    answer = other.upload(*FILES, headers=KEY)

    assert (failed.status_code, failed.json["code"]) == (503, "unavailable")
    check_once(world, other, answer)
    assert len(world.queued()) == 2


def test_who_fails_late_deletes_nothing_of_another(
    web: Web, other: Web, world: World, clock: Clock
) -> None:
    # given a process that stands still before it queues, and one that does it instead
    taken_over: list[Answer] = []

    def dawdle_and_fail() -> None:
        clock.now += CLAIM_S
        taken_over.append(other.upload(*FILES, headers=KEY))
        world.requests.outage.begin("send", 1)

    at(world, STEPS["before queueing"], dawdle_and_fail)

    # when the first one goes on, and SQS fails
    assert web.upload(*FILES, headers=KEY).status_code == 503

    # then the other one's batch is whole, and still the key's
    again = web.upload(*FILES, headers=KEY)
    assert again.json["batch"] == taken_over[0].json["batch"]
    check_once(world, other, again)


def test_who_cannot_know_how_far_it_came_deletes_nothing(
    web: Web, other: Web, world: World, clock: Clock
) -> None:
    # given a store that writes what it is told, says that it failed, and then can't be asked
    def lose_the_answer() -> None:
        world.store.outage.begin("read_note", 1)
        raise Unavailable("the answer was lost")

    at(world, STEPS["after the fence"], lose_the_answer)
    assert web.upload(*FILES, headers=KEY).status_code == 503
    assert len(world.store.images) == 2

    # when another one comes
    assert other.upload(*FILES, headers=KEY).status_code == 409
    clock.now += CLAIM_S
    answer = other.upload(*FILES, headers=KEY)

    # then it goes on with what is there
    check_once(world, other, answer)
    assert len(world.queued()) == 2


def test_an_upload_that_cannot_be_noted_as_accepted_is_accepted(
    web: Web, other: Web, world: World, clock: Clock
) -> None:
    at(world, STEPS["before the end"], lambda: world.store.outage.begin("write_note", 1))
    first = web.upload(*FILES, headers=KEY)

    clock.now += CLAIM_S
    again = other.upload(*FILES, headers=KEY)

    assert first.json["batch"] == again.json["batch"]
    check_once(world, other, again)


def test_what_is_finished_is_not_queued_again(
    web: Web, other: Web, world: World, clock: Clock
) -> None:
    # given a process that was killed before it could tell, and a worker that is done with one
    kill_at(world, web, STEPS["after queueing"])
    (first, second) = world.take(2)
    world.finish([first])

    clock.now += CLAIM_S
    answer = other.upload(*FILES, headers=KEY)

    assert answer.status_code == 202
    assert [request.job for request in world.queued()] == [second.job]


def test_where_all_is_finished_nothing_is_queued_again(
    web: Web, other: Web, world: World, clock: Clock
) -> None:
    # given a process that was killed before it could tell, and a worker that is done with all
    kill_at(world, web, STEPS["after queueing"])
    world.finish(world.take(2))

    clock.now += CLAIM_S
    answer = other.upload(*FILES, headers=KEY)

    assert answer.status_code == 202
    assert world.queued() == []
    # and from then on the key is that of an upload like any other
    again = other.upload(*FILES, headers=KEY)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json["batch"] == answer.json["batch"]


def test_two_that_died_leave_nothing_behind(
    web: Web, other: Web, world: World, clock: Clock
) -> None:
    kill_at(world, web, STEPS["after the first image"])
    clock.now += CLAIM_S
    # the first write of the second one is refused, the second one takes over
    kill_at(world, web, Step("write_note", 2, after=True))
    clock.now += CLAIM_S

    check_once(world, other, other.upload(*FILES, headers=KEY))


def test_a_service_that_fails_while_an_upload_is_gone_on_with_loses_nothing(
    web: Web, other: Web, world: World, clock: Clock
) -> None:
    kill_at(world, web, STEPS["before queueing"])
    clock.now += CLAIM_S
    world.requests.outage.begin("send", 1)

    assert other.upload(*FILES, headers=KEY).status_code == 503
    clock.now += CLAIM_S
    answer = other.upload(*FILES, headers=KEY)

    check_once(world, other, answer)


def test_of_many_at_once_one_is_taken_in(web: Web, other: Web, world: World) -> None:
    uploads = [
        process.meanwhile(lambda process=process: process.upload(*FILES, headers=KEY))  # type: ignore[misc]
        for process in (web, other) * 8
    ]

    answers = [upload.answer() for upload in uploads]

    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json["batch"] for answer in answers if answer.status_code == 202}) == 1
    answer = web.upload(*FILES, headers=KEY)
    check_once(world, web, answer)
    assert len(world.queued()) == 2
