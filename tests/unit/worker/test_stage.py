"""How a stage of the pipeline takes its turns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from clock import Clock
from imagefleet_core.errors import Unavailable
from imagefleet_worker.backoff import LONGEST_PAUSE_S
from imagefleet_worker.outage import SAY_AGAIN_S
from imagefleet_worker.stage import Stage


@pytest.fixture
def clock() -> Clock:
    return Clock()


def stage_of(
    clock: Clock,
    handle: Callable[[list[str]], None],
    spoil: Callable[[str], None],
    at_most: int = 4,
) -> Stage[str]:
    return Stage("testing", handle, spoil, clock=clock, at_most=at_most)


def nothing(_item: str) -> None:
    pytest.fail("no item of this test is to be spoilt")


def test_a_turn_takes_what_is_there_and_waits_for_no_more(clock: Clock) -> None:
    batches: list[list[str]] = []
    stage = stage_of(clock, batches.append, nothing)

    stage.put("abcdef")
    turns = [stage.turn() for _ in range(3)]

    assert batches == [list("abcd"), list("ef")]
    assert turns == [True, True, False]


def test_one_item_that_aws_refuses_does_not_hold_up_the_others(clock: Clock) -> None:
    done: list[str] = []

    def handle(items: list[str]) -> None:
        if items == ["refused"]:
            raise Unavailable("not this one")
        done.extend(items)

    stage = stage_of(clock, handle, nothing, at_most=1)
    stage.put(["refused", *"abc"])
    while stage.turn():
        pass

    assert done == list("abc")


def test_what_aws_did_not_take_is_tried_again_after_ever_longer_pauses(clock: Clock) -> None:
    tried_at: list[float] = []

    def handle(_items: list[str]) -> None:
        tried_at.append(clock.now)
        raise Unavailable("nothing answers")

    stage = stage_of(clock, handle, nothing)
    stage.put("a")
    end = clock.now + 60
    while clock.now < end:
        stage.turn()
        clock.now += 0.25

    pauses = [later - earlier for earlier, later in pairwise(tried_at)]
    assert pauses[:6] == [0.5, 1, 2, 4, 8, LONGEST_PAUSE_S]
    assert max(pauses) == LONGEST_PAUSE_S


def test_an_outage_is_said_once_however_many_items_meet_it(clock: Clock) -> None:
    away = True

    def handle(_items: list[str]) -> None:
        if away:
            raise Unavailable("nothing answers")

    stage = stage_of(clock, handle, nothing, at_most=1)
    stage.put("abcdefgh")
    with capture_logs() as logs:
        while stage.turn():
            pass
        away = False
        clock.now += 1
        while stage.turn():
            pass

    assert [each["event"] for each in logs] == [
        "AWS does not answer, trying on",
        "AWS answers again",
    ]
    assert logs[1]["after_s"] == 1


def test_calls_that_fail_now_and_then_do_not_fill_the_log(clock: Clock) -> None:
    def handle(items: list[str]) -> None:
        if items == ["refused"]:
            raise Unavailable("not this one")

    stage = stage_of(clock, handle, nothing, at_most=1)
    stage.put(["refused"])
    with capture_logs() as logs:
        for _ in range(int(SAY_AGAIN_S)):
            stage.put("a")
            stage.turn()
            stage.turn()
            clock.now += 1

    assert len(logs) == 2


def test_a_batch_that_fails_is_tried_one_by_one_and_only_the_bad_one_is_spoilt(
    clock: Clock,
) -> None:
    done: list[str] = []
    spoilt: list[str] = []

    def handle(items: list[str]) -> None:
        if "x" in items:
            raise ZeroDivisionError
        done.extend(items)

    stage = stage_of(clock, handle, spoilt.append)
    stage.put("axbc")
    with capture_logs() as logs:
        stage.turn()

    assert done == list("abc")
    assert spoilt == ["x"]
    assert [each["log_level"] for each in logs] == ["error"]


def test_busy_time_and_the_longest_turn_are_told(clock: Clock) -> None:
    seen: list[float] = []

    def handle(_items: list[str]) -> None:
        clock.now += 3
        seen.append(stage.longest_turn_s())

    stage: Stage[str] = Stage("testing", handle, nothing, clock=clock, threads=2)
    stage.put("ab")
    stage.turn()
    clock.now += 100
    stage.turn()

    assert seen == [3, 3]
    assert stage.load_s() == 3  # six seconds of two threads
    assert stage.longest_turn_s() == 0


def test_an_item_that_comes_while_a_thread_waits_is_handled_without_delay() -> None:
    handled = threading.Event()
    stage: Stage[str] = Stage("testing", lambda _items: handled.set(), nothing, clock=Clock())
    waiting = threading.Thread(target=stage.turn, args=(30.0,))
    waiting.start()

    stage.put("a")
    waiting.join(10)

    assert handled.is_set()


def test_replies_gather_while_more_are_coming(clock: Clock) -> None:
    batches: list[list[str]] = []
    stage: Stage[str] = Stage(
        "testing",
        batches.append,
        nothing,
        clock=clock,
        at_most=3,
        gather_s=30.0,
        more_coming=lambda: True,
    )
    stage.put("a")
    gathering = threading.Thread(target=stage.turn)
    gathering.start()

    stage.put("b")
    stage.put("c")
    gathering.join(10)

    assert batches == [list("abc")]


def test_a_stage_is_stuck_only_while_it_has_input_and_nothing_comes_of_it(clock: Clock) -> None:
    seen: list[float] = []

    def handle(items: list[str]) -> None:
        if items == ["refused"]:
            raise Unavailable("not now")
        clock.now += 7
        seen.append(stage.stuck_s())

    stage = stage_of(clock, handle, nothing, at_most=1)
    clock.now += 1000
    assert stage.stuck_s() == 0

    # given two items, and time in which nobody takes a turn
    stage.put("ab")
    clock.now += 5
    assert stage.stuck_s() == 5

    # then a turn that ends is progress
    stage.turn()
    assert seen == [12]
    assert stage.stuck_s() == 0
    clock.now += 3
    assert stage.stuck_s() == 3

    # and what waits for AWS is no sign of being stuck
    stage.turn()
    stage.put(["refused"])
    stage.turn()
    clock.now += 1000
    assert stage.stuck_s() == 0


def test_what_is_taken_back_is_not_handled_any_more(clock: Clock) -> None:
    done: list[str] = []

    def handle(items: list[str]) -> None:
        if items == ["refused"]:
            raise Unavailable("not now")
        done.extend(items)

    stage = stage_of(clock, handle, nothing, at_most=1)
    stage.put(["refused", "a", "b"])
    stage.turn()

    assert stage.take_back() == ["a", "b", "refused"]
    clock.now += 100
    assert not stage.turn()
    assert done == []
