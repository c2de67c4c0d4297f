"""The replies queue of a process, and those that others left behind."""

from __future__ import annotations

import pytest

from imagefleet_core.errors import Unavailable
from imagefleet_web.ids import made_at
from imagefleet_web.telling import leftovers
from imagefleet_web.telling.leftovers import DEAD_AFTER_S, TAG
from imagefleet_web.telling.replies import VISIBILITY_S
from web_tier import CHELSEA, Web, World

PREFIX = "imagefleet-replies-"
ID = "019ab2c4-5d6e-7f80-8123-456789abcdef"
MADE = made_at(ID)
assert MADE is not None
NOW = MADE.timestamp() + 100_000


def test_each_process_has_a_queue_of_its_own_that_shows_it_alive(web: Web, world: World) -> None:
    other = Web(world)

    names = world.queues.names(PREFIX)
    assert sorted(names) == sorted([web.services.replies.name, other.services.replies.name])
    assert all(int(world.queues.tags(name)[TAG]) > 0 for name in names)


def test_a_queue_that_vanished_is_made_again(web: Web, world: World) -> None:
    name = web.services.replies.name
    for turn in (web.services.replies.listen, web.services.replies.keep):
        world.queues.remove(name)

        turn()

        assert world.queues.names(PREFIX) == [name]
        assert TAG in world.queues.tags(name)


def test_replies_are_taken_off_the_queue_and_unreadable_ones_too(web: Web, world: World) -> None:
    job = web.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    replies = world.queues.open(web.services.replies.name)
    replies.send(["what?", '{"v": 99}'])
    world.finish(world.take(1))

    web.listen()

    assert replies.bodies() == []
    world.store.results.clear()
    assert web.get(job["url"]).json["status"] == "done"


def test_a_result_too_large_for_a_reply_is_told_as_soon_as_others(web: Web, world: World) -> None:
    asked = web.meanwhile(lambda: web.upload(("huge.jpg", CHELSEA), query_string={"wait": "20"}))
    world.finish(world.take(1))

    web.listen()

    (job,) = asked.answer().json["jobs"]
    assert len(job["output"]["text"]) == 50_000
    assert world.queues.open(web.services.replies.name).bodies() == []


def test_a_large_result_that_cannot_be_fetched_comes_again() -> None:
    # given a store that does not answer when a reply points to it
    now = [NOW]
    world = World(lambda: now[0])
    web = Web(world)
    job = web.upload(("huge.jpg", CHELSEA)).json["jobs"][0]
    world.finish(world.take(1))
    world.store.outage.begin()
    with pytest.raises(Unavailable):
        web.listen()

    world.store.outage.end()
    now[0] += VISIBILITY_S
    web.listen()

    world.store.results.clear()
    assert web.get(job["url"]).json["status"] == "done"


def test_a_process_that_stops_removes_its_queue_and_makes_it_no_more(
    web: Web, world: World
) -> None:
    web.services.close()
    web.services.replies.listen()

    assert world.queues.names(PREFIX) == []


def test_a_queue_that_cannot_be_removed_does_not_keep_a_process_from_stopping(
    web: Web, world: World
) -> None:
    world.queues.outage.begin("remove")

    web.services.close()

    assert world.queues.names(PREFIX) == [web.services.replies.name]


CASES = {
    "seen just now": ({TAG: f"{NOW:.0f}"}, False),
    "seen by a clock that is ahead": ({TAG: f"{NOW + 300:.0f}"}, False),
    "silent for a while": ({TAG: f"{NOW - DEAD_AFTER_S + 60:.0f}"}, False),
    "silent for too long": ({TAG: f"{NOW - DEAD_AFTER_S - 1:.0f}"}, True),
    "made long ago and never tagged": ({}, True),
    "made long ago with a tag nobody understands": ({TAG: "yes"}, True),
}


@pytest.mark.parametrize(("tags", "gone"), CASES.values(), ids=CASES)
def test_only_queues_of_processes_that_are_gone_are_removed(
    world: World, tags: dict[str, str], gone: bool
) -> None:
    world.queues.create(PREFIX + ID, retention_s=300, tags=tags)

    leftovers.remove(world.queues, PREFIX, now=NOW)

    assert world.queues.names(PREFIX) == ([] if gone else [PREFIX + ID])


def test_a_queue_made_just_now_is_kept_even_without_a_tag(world: World) -> None:
    world.queues.add(PREFIX + ID)

    leftovers.remove(world.queues, PREFIX, now=NOW - 100_000 + 60)

    assert world.queues.names(PREFIX) == [PREFIX + ID]


@pytest.mark.parametrize("name", ["other", "123e4567-e89b-42d3-a456-426614174000", ID + "-x", ""])
def test_queues_with_other_names_are_left_alone(world: World, name: str) -> None:
    world.queues.create(PREFIX + name, retention_s=300, tags={TAG: "1"})

    leftovers.remove(world.queues, PREFIX, now=NOW)

    assert world.queues.names(PREFIX) == [PREFIX + name]


def test_a_living_process_cleans_up_after_a_dead_one(web: Web, world: World) -> None:
    world.queues.create(PREFIX + "018b0000-0000-7000-8000-000000000000", retention_s=300, tags={})

    web.services.replies.keep()

    assert world.queues.names(PREFIX) == [web.services.replies.name]


def test_two_processes_may_clean_up_at_once(world: World) -> None:
    # given a queue that another process removes between this one's listing and its look
    world.queues.create(PREFIX + ID, retention_s=300, tags={})
    tags = world.queues.tags

    def tags_of_removed(name: str) -> dict[str, str]:
        world.queues.remove(name)
        return tags(name)

    world.queues.tags = tags_of_removed  # type: ignore[method-assign]

    leftovers.remove(world.queues, PREFIX, now=NOW)

    assert world.queues.names(PREFIX) == []
