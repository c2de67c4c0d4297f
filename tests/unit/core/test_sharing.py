"""Calls that threads share: fewer of them, and to each thread what became of its own items."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from threading import Event, Lock, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefleet_core.sharing import Shared

DEADLINE_S = 60
PATIENT_S = 1000.0


class Refused(Exception):
    """Why an item was refused."""


class Gate:
    """Makes calls that take as long as the test wants, and refuses items that begin with a `!`."""

    def __init__(self) -> None:
        self.made: list[list[str]] = []
        self.broken: Exception | None = None
        self._lock = Lock()
        self._begun: list[Event] = []
        self._open: list[Event] = []

    def call(self, items: list[str]) -> list[Exception | None]:
        number = len(self.made)
        self.made.append(list(items))
        self._event(self._begun, number).set()
        assert self._event(self._open, number).wait(DEADLINE_S)
        if self.broken:
            raise self.broken
        return [Refused(item) if item.startswith("!") else None for item in items]

    def begun(self, number: int) -> None:
        """Wait until a call has begun."""
        assert self._event(self._begun, number).wait(DEADLINE_S)

    def end(self, number: int) -> None:
        """Let a call end, or not begin to take long."""
        self._event(self._open, number).set()

    def _event(self, events: list[Event], number: int) -> Event:
        with self._lock:
            while len(events) <= number:
                events.append(Event())
            return events[number]


def behind(shared: Shared[str], pool: ThreadPoolExecutor, *items: str) -> Future[None]:
    """Begin a call in another thread and return when it waits for one under way."""
    waiting = len(shared._waiting)
    future = pool.submit(shared, list(items))
    while len(shared._waiting) == waiting:
        pass
    return future


def test_who_is_alone_makes_a_call_at_once() -> None:
    gate = Gate()
    gate.end(0)

    Shared(gate.call, 10, PATIENT_S)(["a", "b"])

    assert gate.made == [["a", "b"]]


def test_those_who_come_during_a_call_share_the_next_ones_in_turn() -> None:
    gate = Gate()
    shared = Shared(gate.call, 4, PATIENT_S)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(shared, ["a"])]
        gate.begun(0)
        futures += [behind(shared, pool, *items) for items in ("bc", "d", "efg", "h")]

        for number in range(4):
            gate.end(number)
        for future in futures:
            assert future.result(DEADLINE_S) is None

    # then no call has more than it may, and nobody's items were parted
    assert gate.made == [["a"], ["b", "c", "d"], ["e", "f", "g", "h"]]


def test_each_hears_of_its_own_items_only() -> None:
    gate = Gate()
    shared = Shared(gate.call, 10, PATIENT_S)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(shared, ["!a"])
        gate.begun(0)
        well, ill = behind(shared, pool, "b"), behind(shared, pool, "c", "!d", "!e")
        gate.end(0)
        gate.end(1)

        assert well.result(DEADLINE_S) is None
        with pytest.raises(Refused, match="!a"):
            first.result(DEADLINE_S)
        with pytest.raises(Refused, match="!d"):
            ill.result(DEADLINE_S)


def test_a_call_that_fails_fails_for_all_who_share_it_and_for_nobody_after_it() -> None:
    gate = Gate()
    shared = Shared(gate.call, 2, PATIENT_S)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(shared, ["a"])
        gate.begun(0)
        second, third, fourth = (behind(shared, pool, item) for item in "bcd")
        gate.end(0)
        assert first.result(DEADLINE_S) is None
        gate.begun(1)
        gate.broken = OSError("no answer")
        gate.end(1)
        for future in (second, third):
            with pytest.raises(OSError, match="no answer"):
                future.result(DEADLINE_S)
        gate.broken = None
        gate.end(2)

        assert fourth.result(DEADLINE_S) is None
    assert gate.made == [["a"], ["b", "c"], ["d"]]


def test_a_call_that_takes_long_holds_nobody_up() -> None:
    gate = Gate()
    shared = Shared(gate.call, 10, patience_s=0.01)
    with ThreadPoolExecutor(8) as pool:
        slow = pool.submit(shared, ["a"])
        gate.begun(0)
        gate.end(1)

        shared(["b"])

        assert not slow.done()
        gate.end(0)
        assert slow.result(DEADLINE_S) is None
        gate.end(2)
        shared(["c"])
    assert gate.made == [["a"], ["b"], ["c"]]


@settings(max_examples=20)
@given(st.lists(st.lists(st.sampled_from(["x", "!"]), min_size=1, max_size=9), max_size=12))
def test_however_they_come_every_item_is_in_one_call_and_every_thread_knows(
    asked: list[list[str]],
) -> None:
    gate = Gate()
    for number in range(len(asked)):
        gate.end(number)
    shared = Shared(gate.call, 10, patience_s=0.001)
    named = [
        [f"{item}{thread}.{i}" for i, item in enumerate(items)]
        for thread, items in enumerate(asked)
    ]
    refused: dict[int, str] = {}

    def send(thread: int) -> None:
        try:
            shared(named[thread])
        except Refused as error:
            refused[thread] = str(error)

    threads = [Thread(target=send, args=(thread,)) for thread in range(len(named))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(DEADLINE_S)

    assert sorted(chain(*gate.made)) == sorted(chain(*named))
    assert all(len(items) <= 10 for items in gate.made)
    first = {
        i: [item for item in items if item.startswith("!")][:1] for i, items in enumerate(named)
    }
    assert refused == {i: items[0] for i, items in first.items() if items}
