"""The pool of calls to AWS goes on while AWS is slow, and tells whoever waits when it is silent."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event

import pytest

from clock import Clock
from imagefleet_core.errors import Unavailable
from imagefleet_web.calls import Calls

DEADLINE_S = 60
PATIENCE_S = 10.0


def held(begun: Event, go_on: Event) -> str:
    """Be a call that hangs until the test lets it go on."""
    begun.set()
    assert go_on.wait(DEADLINE_S)
    return "held"


def hang(pool: Calls, go_on: Event) -> Future[str]:
    """Make a call that hangs until `go_on`, and return once it has its turn."""
    begun = Event()
    call = pool.submit(held, begun, go_on)
    assert begun.wait(DEADLINE_S)
    return call


def test_answers_and_errors_come_through() -> None:
    with Calls(2, PATIENCE_S) as pool:
        assert pool.submit(int, "7").result() == 7
        assert list(pool.map(int, ["1", "2"])) == [1, 2]
        with pytest.raises(ValueError):
            pool.submit(int, "seven").result()


def test_a_call_that_waited_long_behind_one_that_hangs_is_not_made() -> None:
    made: list[str] = []
    go_on, clock = Event(), Clock()
    with Calls(1, PATIENCE_S, clock) as pool:
        first = hang(pool, go_on)
        second = pool.submit(made.append, "second")
        clock.now += PATIENCE_S + 1
        go_on.set()

        assert first.result() == "held"
        with pytest.raises(Unavailable, match="not begun"):
            second.result()
        # and one that comes now is
        pool.submit(made.append, "third").result()
    assert made == ["third"]


def test_a_call_that_waited_long_is_made_where_others_like_it_go_well() -> None:
    go_on, clock = Event(), Clock()
    with Calls(1, PATIENCE_S, clock) as pool:
        calls = [hang(pool, go_on), *(pool.submit(held, Event(), go_on) for _ in range(4))]
        clock.now += PATIENCE_S + 1
        go_on.set()
        wait(calls)

    assert [call.result() for call in calls] == ["held"] * 5


def test_calls_in_ones_own_thread_are_among_those_at_once() -> None:
    go_on = Event()
    made: list[str] = []
    with Calls(1, PATIENCE_S, Clock()) as pool, ThreadPoolExecutor(1) as others:
        first = hang(pool, go_on)
        own = others.submit(pool.here, made.append, "own")
        with pytest.raises(TimeoutError):
            own.result(0.05)

        go_on.set()

        assert first.result() == "held"
        own.result(DEADLINE_S)
        assert pool.here(int, "7") == 7
        with pytest.raises(ValueError):
            pool.here(int, "seven")
        assert pool.here(int, "8") == 8
    assert made == ["own"]


def test_a_call_in_ones_own_thread_is_not_made_either_while_others_hang() -> None:
    go_on = Event()
    made: list[str] = []
    with Calls(1, PATIENCE_S) as pool:
        first = hang(pool, go_on)

        pool._patience_s = 0.01  # only now, as the first call is not to run out of it
        with pytest.raises(Unavailable, match="not begun"):
            pool.here(made.append, "late")

        go_on.set()
        assert first.result() == "held"
    assert made == []
