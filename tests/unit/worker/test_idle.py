"""A worker without work for longer than it's told to wait ends by itself."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from imagefleet_core.telemetry import WorkerState
from imagefleet_worker.leases import LONGEST_HOLD_S
from imagefleet_worker.worker import Worker
from worker_tier import Tier, picture, work

IDLE_S = 600


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


def ends(worker: Worker) -> bool:
    """Run a worker; return whether it ended by itself."""
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    thread.join(20)
    ended = not thread.is_alive()
    worker._stop.ask()
    worker._stop.ask()
    return ended


def asked_after(tier: Tier, worker: Worker, seconds: float) -> bool:
    """Let time pass; return whether the worker wants to end."""
    tier.clock.now += seconds
    worker.stop_if_idle()
    return tier.stop.asked


def test_a_worker_that_never_got_a_message_ends(tier: Tier) -> None:
    tier.clock = time.monotonic  # type: ignore[assignment]

    assert ends(tier.worker(idle_exit_s=0.05))

    assert tier.reports()[-1].state is WorkerState.STOPPED


def test_an_outage_of_the_queue_keeps_no_worker_alive(tier: Tier) -> None:
    tier.clock = time.monotonic  # type: ignore[assignment]
    tier.requests.outage.begin()

    assert ends(tier.worker(idle_exit_s=0.05))


def test_idle_time_is_counted_from_the_start(tier: Tier) -> None:
    worker = tier.worker(idle_exit_s=IDLE_S)

    assert not asked_after(tier, worker, IDLE_S)
    assert asked_after(tier, worker, 1)


def test_idle_time_is_counted_from_the_last_image(tier: Tier) -> None:
    worker = tier.worker(idle_exit_s=IDLE_S, visibility_s=3600)
    tier.clock.now += IDLE_S
    tier.submit([picture((1, 1, 1))])
    worker.consumer.turn()

    # a worker at work isn't idle, however long that takes
    assert not asked_after(tier, worker, 5 * IDLE_S)
    work(worker)

    assert not asked_after(tier, worker, IDLE_S)
    assert asked_after(tier, worker, 1)


def test_a_worker_waits_for_ever_unless_it_is_told_how_long(tier: Tier) -> None:
    assert not asked_after(tier, tier.worker(), 10_000_000)


def test_what_is_held_when_the_outage_begins_keeps_no_worker_alive(tier: Tier) -> None:
    # given a worker in the middle of its work that nothing of AWS answers any more
    tier.submit([picture((1, 1, 1))])
    worker = tier.worker(idle_exit_s=IDLE_S)
    worker.consumer.turn()
    for outage in (tier.requests.outage, tier.store.outage):
        outage.begin()
    began = tier.clock.now

    while not asked_after(tier, worker, 1):
        worker.consumer.turn()
        worker.leases.turn()
        assert tier.clock.now - began < LONGEST_HOLD_S + IDLE_S + 5

    assert worker.leases.held() == 0
