from dataclasses import dataclass, field

import pytest
from structlog.typing import EventDict

from fakes import MemoryStore
from imagefleet_scaler.lease import KEY, LOOK_S, Lease

LEASE_S = 10


@dataclass
class World:
    """A store and the scalers that share it, on one clock."""

    now: float = 1000.0
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(lambda: self.now)

    def scaler(self, name: str) -> Lease:
        return Lease(self.store, name, LEASE_S, lambda: self.now)


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_scaler_acts_and_the_second_stands_by(
    world: World, logged: list[EventDict]
) -> None:
    one, other = world.scaler("one"), world.scaler("other")

    assert one.hold()
    assert not other.hold()

    said = [(entry["event"], entry.get("name") or entry.get("behind")) for entry in logged]
    assert said == [("this scaler acts", "one"), ("this scaler stands by", "one")]


def test_it_stays_so_for_hours(world: World) -> None:
    one, other = world.scaler("one"), world.scaler("other")

    for _ in range(3600):
        world.now += 2
        assert one.hold()
        assert not other.hold()


def test_the_second_takes_over_within_15_seconds(world: World, logged: list[EventDict]) -> None:
    one, other = world.scaler("one"), world.scaler("other")
    one.hold()
    other.hold()
    died_at = world.now

    while not other.hold():
        world.now += 0.5

    assert world.now - died_at <= 15
    assert logged[-1]["event"] == "this scaler acts"


def test_the_first_has_stopped_acting_before_the_second_begins(world: World) -> None:
    one, other = world.scaler("one"), world.scaler("other")
    one.hold()

    while not other.hold():  # the first one hangs
        world.now += 0.25
        assert not (one.is_held and other.is_held)

    assert not one.is_held
    assert not one.hold()


def test_a_scaler_that_comes_back_stands_by(world: World) -> None:
    one, other = world.scaler("one"), world.scaler("other")
    one.hold()
    world.now += LEASE_S + 2
    assert other.hold()

    assert not one.hold()
    world.now += LOOK_S
    assert not one.hold()
    assert other.hold()


def test_a_lease_that_is_given_back_is_taken_at_the_next_look(world: World) -> None:
    one, other = world.scaler("one"), world.scaler("other")
    one.hold()
    other.hold()

    one.release()
    world.now += LOOK_S

    assert other.hold()
    assert not one.is_held


def test_giving_back_what_is_not_held_does_nothing(world: World) -> None:
    one, other = world.scaler("one"), world.scaler("other")
    one.hold()

    other.release()
    world.now += LOOK_S

    assert one.hold()
    assert not other.hold()


def test_of_two_that_come_at_once_one_acts(world: World) -> None:
    scalers = [world.scaler(f"scaler-{number}") for number in range(5)]

    for _ in range(20):
        assert sum(scaler.hold() for scaler in scalers) == 1
        world.now += 3


def test_an_outage_shorter_than_the_lease_changes_nothing(world: World) -> None:
    one = world.scaler("one")
    one.hold()

    world.now += 7
    world.store.outage.begin()
    assert one.hold()
    world.store.outage.end()
    assert one.hold()
    world.now += 5

    assert one.hold()


def test_in_a_longer_one_nobody_acts(world: World, logged: list[EventDict]) -> None:
    one = world.scaler("one")
    one.hold()

    world.store.outage.begin()
    for _ in range(10):
        world.now += 2
        one.hold()

    assert not one.is_held
    world.store.outage.end()
    world.now += LOOK_S
    assert one.hold()
    troubles = [entry for entry in logged if "renewed" in entry["event"]]
    assert len(troubles) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"v": 1}'], ids=repr)
def test_a_lease_that_nobody_can_read_is_taken(world: World, body: bytes) -> None:
    world.store.write_note(KEY, body)

    assert world.scaler("one").hold()
