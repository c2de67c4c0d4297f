"""What the day has cost is known to the next scaler."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from structlog.typing import EventDict

from clock import Clock
from fakes import MemoryStore
from imagefleet_core.errors import Unavailable
from imagefleet_scaler.policy import (
    Decision,
    Memory,
    Observation,
    Phase,
    PolicyConfig,
    Worker,
    decide,
)
from imagefleet_scaler.policy.bounds import DAY_S
from imagefleet_scaler.purse import KEY, WRITE_S, Purse

NOON = 20_000 * DAY_S + DAY_S / 2
CONFIG = PolicyConfig(worker_usd_per_hour=60.0, max_usd_per_day=100.0)


class Scaler:
    """Turns of a scaler with a purse, a dollar a worker and minute."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self.purse = Purse(store, clock)
        self.memory = Memory()
        self.clock = clock

    def turn(self, workers: int = 0, *, after_s: float = 2.0, visible: int = 0) -> Decision:
        """Look at so many workers, launched at noon, and at a queue."""
        self.clock.now += after_s
        self.memory = self.purse.recall(self.memory)
        there = tuple(Worker(f"w{n}", Phase.IDLE, NOON) for n in range(workers))
        seen = replace(observation(visible), workers=there, memory=self.memory)
        decision = decide(seen, CONFIG, NOON + self.clock.now)
        self.memory = decision.memory
        self.purse.keep(seen, decision)
        return decision


def observation(visible: int) -> Observation:
    return Observation(visible=visible, in_flight=0, delayed=0, workers=())


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def writes(store: MemoryStore) -> str:
    note = store.read_note(KEY)
    return note.version if note else ""


def test_a_scaler_that_starts_again_knows_what_workers_cost_that_are_gone(
    store: MemoryStore, clock: Clock
) -> None:
    before = Scaler(store, clock)
    before.turn(4, after_s=600)
    before.turn(0)
    spent = before.memory.spent_usd
    assert spent == pytest.approx(40, rel=0.01)

    after = Scaler(store, clock)
    after.turn(0)

    assert after.memory.spent_usd == pytest.approx(spent)


def test_a_worker_that_outlives_a_scaler_is_not_paid_twice(
    store: MemoryStore, clock: Clock
) -> None:
    before = Scaler(store, clock)
    for _ in range(10):
        before.turn(2, after_s=60)

    after = Scaler(store, clock)
    after.turn(2, after_s=60)

    assert after.memory.spent_usd == pytest.approx(2 * 11)


def test_a_restart_does_not_spend_the_days_money_again(store: MemoryStore, clock: Clock) -> None:
    # given a day whose money is spent
    before = Scaler(store, clock)
    before.turn(10, after_s=600)
    before.turn(0)

    # when another scaler begins, and much waits
    decision = Scaler(store, clock).turn(0, visible=1000)

    # then nobody is launched, until the next day
    assert decision.launch == 0
    assert decision.cap == "money"
    assert Scaler(store, clock).turn(0, visible=1000, after_s=DAY_S).launch > 0


def test_a_scaler_that_stood_by_knows_what_the_other_spent(
    store: MemoryStore, clock: Clock
) -> None:
    one, other = Scaler(store, clock), Scaler(store, clock)
    one.turn(1, after_s=60)
    one.purse.forget()
    other.turn(3, after_s=600)
    other.turn(0)

    one.turn(0)

    assert one.memory.spent_usd == pytest.approx(other.memory.spent_usd)


def test_it_is_written_once_a_minute_at_most_and_not_at_all_at_rest(
    store: MemoryStore, clock: Clock
) -> None:
    scaler = Scaler(store, clock)
    scaler.turn(0)
    assert not writes(store)

    seen = set()
    for _ in range(round(10 * WRITE_S / 2)):
        scaler.turn(1)
        seen.add(writes(store))
    assert 9 <= len(seen) <= 11

    scaler.turn(0)
    last = writes(store)
    for _ in range(100):
        scaler.turn(0, after_s=60)
    assert writes(store) == last


def test_while_nobody_knows_what_was_spent_no_turn_is_taken(
    store: MemoryStore, clock: Clock
) -> None:
    Scaler(store, clock).turn(1, after_s=60)
    scaler = Scaler(store, clock)

    store.outage.begin()
    with pytest.raises(Unavailable):
        scaler.turn(1)
    store.outage.end()

    scaler.turn(1)
    assert scaler.memory.spent_usd > 1


def test_an_outage_is_told_once_and_costs_nothing_but_the_note(
    store: MemoryStore, clock: Clock, logged: list[EventDict]
) -> None:
    scaler = Scaler(store, clock)
    scaler.turn(1)

    store.outage.begin()
    for _ in range(5):
        scaler.turn(1, after_s=WRITE_S)
    store.outage.end()
    assert [each["log_level"] for each in logged] == ["warning"]

    scaler.turn(1, after_s=WRITE_S)
    after = Scaler(store, clock)
    after.turn(0)
    assert after.memory.spent_usd == pytest.approx(scaler.memory.spent_usd)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[1]", b'{"day": 1, "usd": "x", "at": 1}', b'{"day": 1, "usd": -1, "at": 1}',
     b'{"day": 1, "usd": Infinity, "at": 1}', b'{"day": 1e400, "usd": 1, "at": 1}', b"\xff"],
)  # fmt: skip
def test_a_note_that_can_not_be_read_is_told_and_overwritten(
    body: bytes, store: MemoryStore, clock: Clock, logged: list[EventDict]
) -> None:
    store.write_note(KEY, body)

    Scaler(store, clock).turn(1, after_s=60)

    assert len(logged) == 1
    note = store.read_note(KEY)
    assert note
    assert json.loads(note.body)["usd"] == pytest.approx(1)


def test_a_note_that_another_scaler_wrote_meanwhile_is_not_lost(
    store: MemoryStore, clock: Clock
) -> None:
    one, other = Scaler(store, clock), Scaler(store, clock)
    one.turn(1, after_s=60)
    other.turn(2, after_s=600)

    one.turn(1, after_s=60)
    one.turn(1, after_s=60)

    assert one.memory.spent_usd > 20
