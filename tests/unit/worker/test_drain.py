"""How a worker stops, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefleet_core.telemetry import WorkerState
from imagefleet_worker.drain import drain
from imagefleet_worker.worker import Worker
from worker_tier import PACKAGES, Tier, finish, picture


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


@pytest.fixture
def holding(tier: Tier) -> Worker:
    """A worker that holds ten images, with ten more in the queue."""
    tier.submit(picture((number, 1, 1)) for number in range(20))
    worker = tier.worker()
    worker.consumer.turn()
    return worker


def drained(tier: Tier, worker: Worker, meanwhile: Callable[[], object]) -> float:
    """Drain for 25 seconds at most, then say farewell; return the seconds it took."""
    began = tier.clock.now

    def pause(seconds: float) -> None:
        tier.clock.now += seconds
        meanwhile()

    drain(
        worker.leases,
        lambda: False,
        tier.stop,
        within_s=25,
        clock=tier.clock,
        pause=pause,
    )
    worker.farewell()
    return tier.clock.now - began


def test_what_is_held_is_finished_and_nothing_more_is_taken(tier: Tier, holding: Worker) -> None:
    tier.stop.ask()

    took_s = drained(tier, holding, lambda: finish(holding))

    assert took_s < 1
    assert len(tier.store.results) == 10
    assert tier.requests.counts().visible == 10
    assert tier.requests.counts().in_flight == 0


def test_what_cannot_be_finished_in_time_is_given_back_at_once(tier: Tier, holding: Worker) -> None:
    tier.stop.ask()
    tier.store.outage.begin()

    took_s = drained(tier, holding, lambda: finish(holding))

    assert took_s == pytest.approx(25, abs=0.2)
    assert tier.store.results == {}
    assert tier.requests.counts().visible == 20


def test_a_second_signal_gives_everything_back_at_once(tier: Tier, holding: Worker) -> None:
    tier.stop.ask()

    took_s = drained(tier, holding, lambda: tier.stop.signalled(signal.SIGTERM))

    assert took_s < 1
    assert tier.requests.counts().visible == 20


def test_one_signal_after_the_worker_began_to_stop_by_itself_does_not_insist(
    tier: Tier, holding: Worker
) -> None:
    tier.stop.ask()
    tier.stop.ask()
    tier.stop.signalled(signal.SIGTERM)

    drained(tier, holding, lambda: finish(holding))

    assert len(tier.store.results) == 10


def test_messages_that_a_receive_under_way_still_brings_are_finished(tier: Tier) -> None:
    tier.submit([picture((1, 1, 1))])
    worker = tier.worker()
    tier.stop.ask()
    polls = iter([True, True, False])

    # given a receive that answers while the worker drains
    def pause(seconds: float) -> None:
        tier.clock.now += seconds
        worker.consumer.turn()
        finish(worker)

    drain(
        worker.leases,
        lambda: next(polls, False),
        tier.stop,
        within_s=25,
        clock=tier.clock,
        pause=pause,
    )

    assert len(tier.store.results) == 1
    assert tier.requests.bodies() == []


def test_a_worker_can_go_while_nothing_of_aws_answers(tier: Tier, holding: Worker) -> None:
    for outage in (tier.store.outage, tier.requests.outage, tier.telemetry.outage):
        outage.begin()
    tier.stop.ask()

    assert drained(tier, holding, lambda: finish(holding)) == pytest.approx(25, abs=0.2)

    # then its messages come back by themselves
    tier.requests.outage.end()
    tier.clock.now += 60
    assert tier.requests.counts().visible == 20


def test_the_scaler_is_told_of_the_end(tier: Tier, holding: Worker) -> None:
    holding.reporter.turn()
    tier.stop.ask()
    holding.reporter.turn()
    drained(tier, holding, lambda: finish(holding))

    told = [report.state for report in tier.reports()]
    assert told == [WorkerState.BUSY, WorkerState.DRAINING, WorkerState.STOPPED]
    assert tier.reports()[-1].done == 10
    assert tier.reports()[-1].in_flight == 0


SIGNALLED = """
import os, signal, sys
from imagefleet_worker.drain import Stop
stop = Stop()
stop.on_signals()
seen = [(stop.asked, stop.at_once)]
for _ in range(2):
    os.kill(os.getpid(), int(sys.argv[1]))
    seen.append((stop.asked, stop.at_once))
print(seen)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_insists(number: signal.Signals) -> None:
    # In a process of its own: networks that were loaded and dropped leave pytest's main thread
    # with a signal stack that was freed, and a signal would end it.
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(int(number))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.stdout.strip() == "[(False, False), (True, False), (True, True)]"
