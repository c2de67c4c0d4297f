"""Processes of one server that tell each other of results, over the sockets between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from imagefleet_core.jobs import JobId, Result
from imagefleet_core.replies import MAX_BYTES
from imagefleet_web.telling.siblings import Ears, Siblings, Sockets
from web_tier import CHELSEA, Web, World, eventually


@contextmanager
def joined(count: int) -> Iterator[list[Siblings]]:
    """Give as many processes that know each other."""
    with closing(Sockets(count)) as sockets:
        siblings = [Siblings() for _ in range(count)]
        for place, one in enumerate(siblings):
            one.join(ears_of(sockets, place))
        yield siblings


def ears_of(sockets: Sockets, place: int) -> Ears:
    ears = sockets.of(place)
    assert ears is not None
    ears.own.settimeout(20)
    return ears


def test_what_one_tells_all_others_hear() -> None:
    with joined(3) as (first, second, third):
        first.tell(["a", "b"])
        third.tell(["c"])

        assert second.hear() == ["a", "b"]
        assert second.hear() == ["c"]
        assert third.hear() == ["a", "b"]
        assert first.hear() == ["c"]


def test_replies_are_told_apart_whatever_they_hold() -> None:
    with joined(2) as (first, second):
        first.tell(['{\n  "v": 1,\n "text": "\\n🐈"}', '{"v":2}'])

        assert second.hear() == ['{   "v": 1,  "text": "\\n🐈"}', '{"v":2}']


def test_ten_replies_of_the_largest_size_go_through() -> None:
    bodies = [str(number) * MAX_BYTES for number in range(10)]
    with joined(2) as (first, second):
        first.tell(bodies)

        assert second.hear() == bodies


def test_who_does_not_listen_holds_nobody_up_and_hears_again_later() -> None:
    with joined(2) as (first, second):
        for number in range(10_000):
            first.tell([f"{number} " + "x" * 10_000])

        heard = second.hear()
        assert heard is not None
        assert heard[0].startswith("0 ")
        first.tell(["late"])
        while heard != ["late"]:
            heard = second.hear()


def test_who_takes_the_place_of_another_hears_for_it() -> None:
    with closing(Sockets(2)) as sockets:
        gone, first, following = Siblings(), Siblings(), Siblings()
        gone.join(ears_of(sockets, 1))
        first.join(ears_of(sockets, 0))
        first.tell(["a"])

        following.join(ears_of(sockets, 1))

        assert following.hear() == ["a"]


def test_one_process_has_nobody_to_tell_nor_has_one_more_than_planned() -> None:
    with closing(Sockets(1)) as one, closing(Sockets(2)) as two:
        assert one.of(0) is None
        assert two.of(2) is None

    alone = Siblings()
    alone.tell(["a"])
    assert alone.hear() is None


@pytest.fixture
def pair(world: World) -> Iterator[tuple[Web, Web]]:
    """Two processes of one server; no thread runs in the background."""
    one, other = Web(world, processes=2), Web(world, processes=2)
    with closing(Sockets(2)) as sockets:
        for place, web in enumerate((one, other)):
            web.services.siblings.join(ears_of(sockets, place))
        yield one, other
    for web in (one, other):
        web.services.close()


def test_who_waits_at_another_process_than_the_uploads_is_told(
    pair: tuple[Web, Web], world: World
) -> None:
    one, other = pair
    url = one.upload(("1.jpg", CHELSEA), ("2.jpg", CHELSEA)).json["url"]
    asked = other.meanwhile(lambda: other.get(url, query_string={"wait": "20"}))
    eventually(other.services.hub.is_waited_at)
    world.finish(world.take(2))

    one.listen()
    other.services.replies.overhear()

    assert [job["label"] for job in asked.answer().json["jobs"]] == ["1.jpg 1", "2.jpg 1"]


def test_who_asks_another_process_later_needs_no_store_for_the_result(
    pair: tuple[Web, Web], world: World
) -> None:
    one, other = pair
    job = one.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    world.finish(world.take(1))
    one.listen()
    other.services.replies.overhear()

    world.store.results.clear()

    assert other.get(job["url"]).json["label"] == "1.jpg 1"


def test_a_large_result_is_fetched_by_those_only_whom_somebody_asked(
    pair: tuple[Web, Web], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    jobs = one.upload(("huge1.jpg", CHELSEA), ("huge2.jpg", CHELSEA)).json["jobs"]
    asked = other.meanwhile(lambda: other.get(jobs[0]["url"], query_string={"wait": "20"}))
    requests = world.take(2)
    eventually(lambda: other.services.hub.waits_for(requests[0].job))
    world.finish(requests)
    one.listen()
    fetched, get_result = [], world.store.get_result

    def counted(job: JobId) -> Result | None:
        fetched.append(job)
        return get_result(job)

    monkeypatch.setattr(world.store, "get_result", counted)

    other.services.replies.overhear()

    assert asked.answer().json["status"] == "done"
    assert fetched == [requests[0].job]


def test_replies_that_nobody_can_read_are_not_passed_on(
    pair: tuple[Web, Web], world: World
) -> None:
    one, other = pair
    job = one.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    world.queues.open(one.services.replies.name).send(["what?"])
    one.listen()
    world.finish(world.take(1))
    one.listen()

    other.services.replies.overhear()

    world.store.results.clear()
    assert other.get(job["url"]).json["status"] == "done"


def test_what_a_sibling_of_another_version_says_does_no_harm(pair: tuple[Web, Web]) -> None:
    one, other = pair
    one.services.siblings.tell(["what?", '{"v": 99}', ""])

    assert other.services.replies.overhear() == 0
