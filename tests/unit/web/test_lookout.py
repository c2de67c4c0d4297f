from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from clock import Clock
from imagefleet_core.errors import Unavailable
from imagefleet_core.store import ResultList
from imagefleet_web.telling.lookout import FIRST_S, GROWTH, IDLE_S, LONGEST_S, PACE_S, Lookout
from web_tier import CHELSEA, Web, World


class Even:
    """Chance without chance."""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lookout(web: Web, clock: Clock) -> Lookout:
    return Lookout(web.services.hub, web.services.results, clock=clock, chance=Even())  # type: ignore[arg-type]


@pytest.fixture
def looks(world: World) -> list[str]:
    """The batches that were listed."""
    looks: list[str] = []
    listed = world.store.list_results

    def list_results(batch: str) -> ResultList:
        looks.append(batch)
        return listed(batch)

    world.store.list_results = list_results  # type: ignore[method-assign]
    return looks


def run(lookout: Lookout, clock: Clock, seconds: float) -> Iterator[float]:
    """Let time pass and give the times, since the start, of the turns that were busy."""
    start = clock.now
    while clock.now < start + seconds:
        began = clock.now
        rest = lookout.turn()
        if rest < IDLE_S:
            yield began - start
        clock.now += rest


def test_nothing_is_looked_for_while_nobody_waits(
    lookout: Lookout, clock: Clock, looks: list[str], web: Web
) -> None:
    web.upload(("1.jpg", CHELSEA))

    assert list(run(lookout, clock, 60)) == []
    assert looks == []


def test_looks_begin_after_a_while_and_become_rare(
    lookout: Lookout, clock: Clock, looks: list[str], web: Web
) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    with web.services.hub.watch(batch, [1]):
        times = list(run(lookout, clock, 120))

    intervals = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] == pytest.approx(FIRST_S, abs=0.3)
    assert intervals[0] == pytest.approx(FIRST_S * GROWTH, abs=0.3)
    assert intervals[:5] == sorted(intervals[:5])
    assert intervals[-1] == pytest.approx(LONGEST_S, abs=0.3)
    assert looks == [batch] * len(times)


def test_a_look_tells_what_the_store_has_with_one_list_and_a_get_for_each_new_result(
    lookout: Lookout, clock: Clock, looks: list[str], web: Web, world: World
) -> None:
    batch = web.upload(*[(f"{i}.jpg", CHELSEA) for i in range(20)]).json["batch"]
    requests = world.take(20)
    with web.services.hub.watch(batch, range(1, 21)) as watch:
        # given five results by reply and five whose replies were lost
        world.finish(requests[:5])
        web.listen()
        world.finish(requests[5:10], reply=False)
        gets: list[object] = []
        got = world.store.get_result
        world.store.get_result = lambda job: gets.append(job) or got(job)  # type: ignore[func-returns-value,method-assign]

        assert next(run(lookout, clock, 10))

    assert looks == [batch]
    assert len(gets) == 5
    assert watch.missing == set(range(11, 21))


def test_looks_are_frequent_while_they_find_something(
    lookout: Lookout, clock: Clock, web: Web, world: World
) -> None:
    batch = web.upload(*[(f"{i}.jpg", CHELSEA) for i in range(10)]).json["batch"]
    requests = iter(world.take(10))
    with web.services.hub.watch(batch, range(1, 11)):
        times = [0.0]
        for now in run(lookout, clock, 18):
            times.append(now)
            world.finish([next(requests)], reply=False)

    assert max(b - a for a, b in pairwise(times[1:])) < 2 * FIRST_S


def test_many_who_wait_cause_no_storm_and_everyone_has_a_turn(
    lookout: Lookout, clock: Clock, looks: list[str], web: Web
) -> None:
    batches = [web.upload(("1.jpg", CHELSEA)).json["batch"] for _ in range(200)]
    with ExitStack() as stack:
        for batch in batches:
            stack.enter_context(web.services.hub.watch(batch, [1]))
        times = list(run(lookout, clock, 12))

    assert set(looks) == set(batches)
    for second in range(12):
        assert sum(second <= each < second + 1 for each in times) <= 1 / PACE_S + 1


def test_many_who_wait_for_one_batch_cause_one_look(
    lookout: Lookout, clock: Clock, looks: list[str], web: Web
) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(web.services.hub.watch(batch, [1]))
        list(run(lookout, clock, FIRST_S + 0.5))

    assert looks == [batch]


def test_a_batch_whose_look_fails_does_not_hold_up_the_others(
    lookout: Lookout, clock: Clock, looks: list[str], web: Web, world: World
) -> None:
    batches = [web.upload(("1.jpg", CHELSEA)).json["batch"] for _ in range(2)]
    with ExitStack() as stack:
        for batch in batches:
            stack.enter_context(web.services.hub.watch(batch, [1]))
        lookout.turn()
        clock.now += FIRST_S + 0.1
        world.store.outage.begin("list_results", 1)
        with pytest.raises(Unavailable):
            lookout.turn()
        lookout.turn()

    assert set(looks) == set(batches)
