"""Messages stay hidden while they are worked on, and a worker knows which are its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imagefleet_worker.leases import LONGEST_HOLD_S, RETRY_S
from worker_tier import Tier, batches_of, finish, picture, work


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


def pictures(count: int) -> list[bytes]:
    return [picture((number, 1, 1)) for number in range(count)]


def test_what_a_worker_holds_for_long_stays_hidden_from_others(tier: Tier) -> None:
    tier.submit(pictures(25))
    slow, other = tier.worker(visibility_s=60), tier.worker()
    for _ in range(3):
        slow.consumer.turn()

    for _ in range(200):
        tier.clock.now += 1
        slow.leases.turn()
        other.consumer.turn()

    assert slow.leases.held() == 25
    assert other.leases.held() == 0


def test_leases_are_extended_after_a_third_of_their_time(tier: Tier) -> None:
    tier.submit(pictures(10))
    worker = tier.worker(visibility_s=60)
    worker.consumer.turn()
    calls = batches_of(tier.requests, "change_visibility")

    seconds = []
    for second in range(1, 61):
        tier.clock.now += 1
        before = len(calls)
        worker.leases.turn()
        seconds += [second] * (len(calls) - before)

    assert seconds == [20, 40, 60]
    assert calls == [10, 10, 10]


def test_a_message_that_is_another_workers_now_is_dropped(tier: Tier) -> None:
    (job,) = tier.submit(pictures(1))
    paused, other = tier.worker(visibility_s=60), tier.worker(worker_id="worker-2")

    # given a worker that was stopped for a minute while it held the message
    paused.consumer.turn()
    tier.clock.now += 61
    other.consumer.turn()
    paused.leases.turn()
    assert paused.leases.held() == 0

    # when it goes on, it neither works on the image nor touches the message
    finish(paused)
    assert tier.store.results == {}
    assert len(tier.requests.bodies()) == 1

    finish(other)
    assert tier.result(job).worker == "worker-2"
    assert tier.requests.bodies() == []


def test_a_refused_receipt_means_the_message_is_lost(tier: Tier) -> None:
    tier.submit(pictures(3))
    paused, other = tier.worker(visibility_s=60), tier.worker()
    paused.consumer.turn()
    tier.requests.redeliver()
    other.consumer.turn()

    tier.clock.now += 20
    with capture_logs() as logs:
        paused.leases.turn()

    assert paused.leases.held() == 0
    assert other.leases.held() == 3
    assert [each.get("messages") for each in logs] == [3]


def test_a_lost_message_whose_work_had_begun_is_not_deleted(tier: Tier) -> None:
    (job,) = tier.submit(pictures(1))
    paused, other = tier.worker(visibility_s=60), tier.worker(worker_id="worker-2")
    paused.consumer.turn()
    paused.pipeline.fetching.turn()
    paused.pipeline.decoding.turn()
    tier.clock.now += 61
    other.consumer.turn()
    paused.leases.turn()

    finish(paused)

    assert tier.result(job).worker == "worker-1"
    assert len(tier.requests.bodies()) == 1
    finish(other)
    assert tier.requests.bodies() == []


def test_leases_outlast_a_short_outage_of_the_queue(tier: Tier) -> None:
    tier.submit(pictures(5))
    worker = tier.worker(visibility_s=60)
    worker.consumer.turn()
    tier.requests.outage.begin("change_visibility", times=30)

    with capture_logs() as logs:
        for _ in range(90):
            tier.clock.now += 1
            worker.leases.turn()

    assert worker.leases.held() == 5
    assert [each["log_level"] for each in logs] == ["warning", "info"]


def test_nothing_is_held_for_ever(tier: Tier) -> None:
    tier.submit(pictures(1))
    hanging = tier.worker()
    hanging.consumer.turn()

    end = tier.clock.now + LONGEST_HOLD_S + 1
    while tier.clock.now < end:
        tier.clock.now += 1
        hanging.leases.turn()

    assert hanging.leases.held() == 0
    tier.clock.now += RETRY_S
    assert tier.requests.counts().visible == 1


def test_what_was_given_back_is_not_touched_any_more(tier: Tier) -> None:
    (job,) = tier.submit(pictures(1))
    worker = tier.worker()
    worker.consumer.turn()
    worker.pipeline.fetching.turn()
    worker.pipeline.decoding.turn()

    worker.leases.give_back_all()
    finish(worker)

    # then its result is stored, which is harmless, and the message is there for others
    assert tier.result(job)
    assert tier.requests.counts().visible == 1


def test_giving_back_while_the_queue_is_away_is_no_error(tier: Tier) -> None:
    tier.submit(pictures(3))
    worker = tier.worker(visibility_s=60)
    worker.consumer.turn()
    tier.requests.outage.begin()

    worker.leases.give_back_all()

    tier.requests.outage.end()
    assert worker.leases.held() == 0
    tier.clock.now += 60
    assert tier.requests.counts().visible == 3


def test_idle_time_counts_from_the_last_message(tier: Tier) -> None:
    worker = tier.worker()
    tier.clock.now += 7
    assert worker.leases.idle_s() == 7

    tier.submit(pictures(1))
    worker.consumer.turn()
    tier.clock.now += 5
    assert worker.leases.idle_s() == 0

    work(worker)
    tier.clock.now += 3
    assert worker.leases.idle_s() == 3


def test_what_a_hung_extension_lets_expire_is_not_worked_on(tier: Tier) -> None:
    tier.submit(pictures(1))
    worker = tier.worker(visibility_s=60)
    worker.consumer.turn()

    # given that nobody has looked at the leases for a minute
    tier.clock.now += 61
    finish(worker)

    assert tier.store.results == {}
    worker.leases.turn()
    assert worker.leases.held() == 0
