"""What the list of past batches costs: few calls at once, and none again for what is finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from typing import Any

import pytest

from imagefleet_core import keys
from imagefleet_core.jobs import JobId, Request, new_batch_id
from imagefleet_web.telling import sums
from imagefleet_web.telling.sums import BATCHES_AT_ONCE, LISTS_AT_ONCE
from imagefleet_web.uploads.awaited import GRACE_S, Awaited
from web_tier import CHELSEA, COFFEE, DEADLINE_S, Web, World, eventually

LIST = "/api/v1/batches?limit=100"


@pytest.fixture
def calls(world: World) -> Counter[str]:
    """How often the store was called, by what it was asked."""
    counted: Counter[str] = Counter()

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            counted[name] += 1
            return real(*args)

        return call

    for name in ("list_results", "image_names"):
        setattr(world.store, name, counting(name, getattr(world.store, name)))
    return counted


def finished(web: Web, images: int = 1) -> Any:
    """Upload a batch, and have it finished."""
    told = web.upload(*[(f"{i}.jpg", CHELSEA) for i in range(images)]).json
    web.world.finish(web.world.take(images), reply=False)
    return told


def listed(web: Web) -> dict[str, tuple[int, int]]:
    """Return the total and the finished images of all batches, newest first."""
    told = web.get(LIST).json["batches"]
    return {each["batch"]: (each["total"], each["finished"]) for each in told}


def test_a_batch_that_is_finished_is_counted_once(web: Web, calls: Counter[str]) -> None:
    batches = [finished(web, images)["batch"] for images in (1, 2, 3)]
    first = listed(web)
    assert list(first.items()) == [(batches[i], (i + 1, i + 1)) for i in (2, 1, 0)]
    calls.clear()

    assert list(listed(web).items()) == list(first.items())

    assert calls.total() == 0


def test_one_that_is_not_is_counted_each_time(web: Web, world: World, calls: Counter[str]) -> None:
    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE)).json
    requests = world.take(2)
    seen = [listed(web)[told["batch"]]]
    for request in requests:
        world.finish([request], reply=False)
        seen.append(listed(web)[told["batch"]])

    assert seen == [(2, 0), (2, 1), (2, 2)]
    assert calls == {"list_results": 3, "image_names": 3}


def test_a_finished_batch_that_is_deleted_is_not_listed_whichever_process_did_it(
    web: Web, world: World
) -> None:
    other = Web(world)
    one, two = finished(web), finished(web)
    assert len(listed(web)) == len(listed(other)) == 2

    web.request("DELETE", one["url"])
    other.request("DELETE", two["url"])

    assert listed(web) == listed(other) == {}
    other.services.close()


def test_a_batch_whose_last_image_did_not_come_may_still_change(web: Web, world: World) -> None:
    # given one whose other image may still come, though its form is over
    batch = new_batch_id()
    past = datetime.now(UTC) - timedelta(seconds=GRACE_S + 1)
    awaited = Awaited({1: "1.jpg", 2: "2.jpg"}, past)
    world.store.write_note(keys.awaited_key(batch), awaited.encode())
    assert listed(web) == {batch: (2, 2)}

    assert web.services.sums._final == {}


def test_a_batch_that_is_finished_in_part_while_it_is_counted_is_not_taken_for_finished(
    web: Web, world: World
) -> None:
    # given a batch of which one image is listed; then the other is stored, and the first answered
    batch, image_names = new_batch_id(), world.store.image_names
    jobs = [JobId(batch, number) for number in (1, 2)]
    now = datetime.now(UTC)
    one, two = (
        Request(job, keys.input_key(job, "a.jpg"), "a.jpg", None, submitted_at=now) for job in jobs
    )
    world.store.put_image(one.key, CHELSEA, "image/jpeg")

    def listing(batch: str) -> dict[int, str]:
        found = image_names(batch)
        world.store.put_image(two.key, CHELSEA, "image/jpeg")
        world.finish([one])
        return found

    world.store.image_names = listing  # type: ignore[method-assign]
    listed(web)

    assert listed(web) == {batch: (2, 1)}


def test_few_batches_of_a_list_are_counted_at_once(web: Web, world: World) -> None:
    for _ in range(3 * BATCHES_AT_ONCE):
        finished(web)
    gate, lock, running, most = Event(), Lock(), 0, 0
    list_results = world.store.list_results

    def slow(batch: str) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        assert gate.wait(DEADLINE_S)
        with lock:
            running -= 1
        return list_results(batch)

    world.store.list_results = slow  # type: ignore[method-assign]
    asked = web.meanwhile(lambda: web.get(LIST))
    eventually(lambda: running == BATCHES_AT_ONCE)
    gate.set()

    assert len(asked.answer().json["batches"]) == 3 * BATCHES_AT_ONCE
    assert most == BATCHES_AT_ONCE
    # so that uploads have as many calls at once, and more
    assert web.services.settings.aws_connections // 2 >= BATCHES_AT_ONCE * LISTS_AT_ONCE


def test_few_lists_are_counted_at_once_and_others_wait_for_their_turn(
    web: Web, world: World
) -> None:
    finished(web)
    gate, silent = Event(), list[str]()
    list_results = world.store.list_results

    def slow(batch: str) -> Any:
        silent.append(batch)
        assert gate.wait(DEADLINE_S)
        return list_results(batch)

    world.store.list_results = slow  # type: ignore[method-assign]
    asked = [web.meanwhile(lambda: web.get(LIST)) for _ in range(LISTS_AT_ONCE)]
    eventually(lambda: len(silent) == LISTS_AT_ONCE)
    web.services.sums._patience_s = 0.01

    refused = web.get(LIST)

    assert (refused.status_code, refused.json["code"]) == (503, "busy")
    assert int(refused.headers["Retry-After"]) > 0
    web.services.sums._patience_s = DEADLINE_S
    asked.append(web.meanwhile(lambda: web.get(LIST)))
    gate.set()
    assert [len(each.answer().json["batches"]) for each in asked] == [1] * (LISTS_AT_ONCE + 1)


def test_a_list_that_fails_gives_its_turn_back(web: Web, world: World) -> None:
    finished(web)
    world.store.outage.begin("image_names", times=2 * LISTS_AT_ONCE)
    web.services.sums._patience_s = 0

    for _ in range(2 * LISTS_AT_ONCE):
        assert web.get(LIST).json["code"] == "unavailable"

    assert len(listed(web)) == 1


def test_the_batches_that_are_remembered_are_few(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "REMEMBERED", 2)
    for _ in range(4):
        finished(web)

    assert len(listed(web)) == 4
    assert len(web.services.sums._final) == 2
    assert len(listed(web)) == 4
