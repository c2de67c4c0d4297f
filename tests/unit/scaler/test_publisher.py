"""Writing the report of the fleet, beside the loop."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from structlog.typing import EventDict

from fakes import MemoryStore
from imagefleet_core.fleet import REST_S, FleetReport
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_core.telemetry import Report
from imagefleet_scaler.policy import Decision, Memory, Observation, Phase, Worker
from imagefleet_scaler.publisher import (
    LONGEST_PAUSE_S,
    MOST_TURNS,
    PACE_S,
    Publisher,
    fresh_s,
    repeat_s,
)
from imagefleet_scaler.report import Account
from system import wait_for

TICK_S = 2.0
SOON_S = 60
CAT = Worker("cat", Phase.BUSY, 1_800_000_000.0)


class Scaler:
    """A publisher on a store in memory, and turns on a clock that the test moves."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.now = 1_800_000_000.0
        self.writes = 0
        self.publisher = Publisher(
            store,
            told=self.told,
            account=partial(
                Account, min_workers=0, max_workers=5, usd_per_hour=0, fresh_s=fresh_s(TICK_S)
            ),
            tick_s=TICK_S,
            clock=lambda: self.now,
        )

    def told(self, worker: str) -> Report | None:
        return None

    def turn(self, waiting: int = 0, workers: Sequence[Worker] = (), **decided: Any) -> None:
        """Take a turn of the loop, of which nothing is written yet."""
        self.now += TICK_S
        choice: dict[str, Any] = {"desired": 0, "launch": 0, "retire": (), "why": "so"} | decided
        self.publisher.on_turn(
            Observation(waiting, workers=tuple(workers)),
            Decision(memory=Memory(at=self.now), **choice),
        )

    def turns(self, count: int, *of: Any, **more: Any) -> list[bool]:
        """Take turns, each followed by the publisher's; return which of them were written."""
        wrote = []
        for _ in range(count):
            self.turn(*of, **more)
            wrote.append(self.publisher.work() > 0)
        return wrote


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def scaler(store: MemoryStore) -> Scaler:
    return Scaler(store)


def written(store: MemoryStore) -> FleetReport:
    note = store.read_note(FLEET_REPORT)
    assert note
    return FleetReport.decode(note.body)


def said(logged: list[EventDict], level: str) -> list[str]:
    return [entry["event"] for entry in logged if entry["log_level"] == level]


def test_a_change_is_written_at_once(scaler: Scaler, store: MemoryStore) -> None:
    scaler.turns(1)
    assert scaler.turns(1, 90, [CAT]) == [True]

    told = written(store)
    assert (told.queue.visible, told.workers[0].id) == (90, "cat")
    assert told.at.timestamp() == scaler.now


def test_a_fleet_at_rest_is_written_once_a_day(scaler: Scaler) -> None:
    assert scaler.turns(1000) == [True] + [False] * 999

    scaler.now += REST_S
    assert scaler.turns(1000) == [True] + [False] * 999


def test_a_fleet_that_does_not_change_is_written_every_ten_seconds(scaler: Scaler) -> None:
    assert scaler.turns(11, 0, [CAT]) == [True, *([False] * 4 + [True]) * 2]


def test_a_report_is_fresh_for_longer_than_the_next_one_takes() -> None:
    assert (repeat_s(2), fresh_s(2)) == (10, 24)
    for tick_s in (0.1, 1, 2, 10, 60):
        # The turn that is due, one that is skipped, and what both may take themselves.
        assert fresh_s(tick_s) >= repeat_s(tick_s) + 2 * tick_s
        assert repeat_s(tick_s) >= PACE_S


def test_the_account_goes_on_where_the_last_scaler_left_it(
    scaler: Scaler, store: MemoryStore
) -> None:
    scaler.turns(3, 90, [CAT], launch=1)
    before = written(store)

    Scaler(store).turns(1, 50, [CAT], launch=2)

    after = written(store)
    assert [each.launch for each in after.decisions] == [2, 1, 1, 1]
    assert after.history[0] == before.history[0]


@pytest.mark.parametrize("rubbish", [b"", b"\xff", b"{}", b'{"v":1}'])
def test_a_report_that_cannot_be_read_is_begun_anew(
    scaler: Scaler, store: MemoryStore, logged: list[EventDict], rubbish: bytes
) -> None:
    store.write_note(FLEET_REPORT, rubbish)

    assert scaler.turns(2, 90) == [True, False]

    assert written(store).queue.visible == 90
    assert said(logged, "warning") == ["the fleet's old report can't be read; its history ends"]


def test_a_report_that_is_deleted_comes_back_with_its_history(
    scaler: Scaler, store: MemoryStore
) -> None:
    scaler.turns(1, 90)
    before = written(store)
    store.delete_note(FLEET_REPORT)

    scaler.turns(3, 91)

    assert written(store).history[0] == before.history[0]


def test_of_two_scalers_each_tells_what_it_sees(scaler: Scaler, store: MemoryStore) -> None:
    other = Scaler(store)
    for waiting in range(10, 20):
        assert scaler.turns(1, waiting) == [True]
        assert written(store).queue.visible == waiting
        assert other.turns(1, waiting + 50) == [True]
        assert written(store).queue.visible == waiting + 50


@pytest.mark.parametrize("call", ["read_note", "write_note"])
def test_an_outage_is_said_once_and_costs_no_turn(
    scaler: Scaler, store: MemoryStore, logged: list[EventDict], call: str
) -> None:
    store.outage.begin(call, times=3)
    for launch in range(1, 4):
        scaler.turn(90, launch=launch)
        scaler.publisher.work()
    assert not store.results

    scaler.turn(90, launch=4)
    scaler.publisher.work()

    assert [each.launch for each in written(store).decisions] == [4, 3, 2, 1]
    (warning,) = [entry for entry in logged if entry["log_level"] == "warning"]
    assert "at the test's order" in warning["reason"]
    assert not warning["exc_info"]
    assert said(logged, "info") == ["the fleet's report is written again"]


def test_the_tries_of_a_long_outage_become_rare(scaler: Scaler, store: MemoryStore) -> None:
    store.outage.begin()
    scaler.turn(90)

    pauses = [scaler.publisher.work() for _ in range(7)]

    assert pauses == [2, 4, 8, 16, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_what_waits_for_the_store_is_bounded(scaler: Scaler, store: MemoryStore) -> None:
    store.outage.begin()
    for waiting in range(MOST_TURNS + 10):
        scaler.turn(waiting)
    scaler.publisher.work()
    store.outage.end()

    scaler.publisher.work()

    assert written(store).history[0].waiting == 10


def test_an_error_nobody_foresaw_is_logged_in_full_and_survived(
    scaler: Scaler, store: MemoryStore, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_note", lambda *_, **__: 1 / 0)
        scaler.turns(2, 90)

    assert scaler.turns(1, 91) == [True]

    (warning,) = [entry for entry in logged if entry["log_level"] == "warning"]
    assert isinstance(warning["exc_info"], ZeroDivisionError)


def test_a_scaler_that_stops_says_farewell(scaler: Scaler, store: MemoryStore) -> None:
    with scaler.publisher:
        scaler.turn()
        wait_for(lambda: store.results, SOON_S)
        assert written(store).fresh_s is None

    assert written(store).fresh_s == 0


def test_a_store_that_hangs_holds_up_neither_the_loop_nor_the_end(
    scaler: Scaler, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagefleet_scaler.publisher.CLOSE_S", 0.01)
    answers, asked = threading.Event(), threading.Event()

    def hang(key: str) -> None:
        asked.set()
        answers.wait(SOON_S)

    monkeypatch.setattr(store, "read_note", hang)
    with scaler.publisher:
        scaler.turn(90)
        assert asked.wait(SOON_S)
        scaler.turn(91)  # returns, though the thread hangs

    assert not store.results
    answers.set()


def test_a_scaler_that_never_took_a_turn_writes_nothing(scaler: Scaler, store: MemoryStore) -> None:
    with scaler.publisher:
        pass

    assert not store.results
