"""Loops that hang, die or only fail are noticed."""

from __future__ import annotations

import threading

import pytest

from clock import Clock
from imagefleet_worker import loops
from imagefleet_worker.health.pulse import FAILING_S, SILENT_S, Pulses


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulses(clock: Clock) -> Pulses:
    return Pulses(clock)


def test_a_loop_that_takes_its_turns_is_well(pulses: Pulses, clock: Clock) -> None:
    pulse = pulses.add("receiving")

    for _ in range(10):
        clock.now += SILENT_S - 1
        pulse.turned(0)
        assert pulses.problem() == ""


def test_a_loop_that_comes_to_no_end_is_noticed_until_it_does(pulses: Pulses, clock: Clock) -> None:
    pulses.add("reporting").turned(float("inf"))
    pulse = pulses.add("receiving")

    clock.now += SILENT_S + 1
    assert pulses.problem() == "receiving hangs"

    pulse.turned(0)
    assert pulses.problem() == ""


def test_a_pause_is_no_silence(pulses: Pulses, clock: Clock) -> None:
    pulses.add("looking for notices").turned(600)

    clock.now += 600 + SILENT_S - 1
    assert pulses.problem() == ""

    clock.now += 2
    assert pulses.problem() == "looking for notices hangs"


def test_a_loop_that_only_fails_is_noticed_until_it_works(pulses: Pulses, clock: Clock) -> None:
    pulse = pulses.add("extending")

    for second in range(int(FAILING_S) + 1):
        assert (second, pulses.problem()) == (second, "")
        pulse.failed(1)
        clock.now += 1
    assert pulses.problem() == "extending only fails"

    pulse.turned(1)
    assert pulses.problem() == ""


def test_all_that_is_wrong_is_told(pulses: Pulses, clock: Clock) -> None:
    pulses.add("receiving")
    pulses.add("extending")

    clock.now += SILENT_S + 1

    assert pulses.problem() == "receiving hangs and extending hangs"


def test_a_loop_that_was_ended_may_be_silent(pulses: Pulses, clock: Clock) -> None:
    until = threading.Event()
    until.set()
    loops.start("receiving", lambda: 0.0, until, pulses).join(20)

    clock.now += SILENT_S + 1

    assert pulses.problem() == ""


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(3)])
def test_a_turn_that_fails_is_survived_and_shows(
    pulses: Pulses, clock: Clock, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "SURVIVED_PAUSE_S", 0)
    until, seen = threading.Event(), []

    def turn() -> float:
        seen.append(pulses.problem())
        clock.now += FAILING_S + 1
        if len(seen) == 3:
            until.set()
            return 0.0
        raise error

    loops.start("receiving", turn, until, pulses).join(20)

    assert seen == ["", "", "receiving only fails"]
    assert pulses.problem() == ""


def test_a_loop_needs_no_watching() -> None:
    until = threading.Event()

    def turn() -> float:
        until.set()
        return 0.0

    loops.start("extending", turn, until).join(20)

    assert until.is_set()
