"""What the scaler hears of a worker."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imagefleet_core.telemetry import WorkerState
from imagefleet_worker.telemetry import REPORT_S, ServiceTime
from worker_tier import Tier, finish, picture, work


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


def test_each_change_of_state_is_told_and_the_rest_every_few_seconds(tier: Tier) -> None:
    worker = tier.worker()
    worker.reporter.turn()
    tier.submit([picture((1, 1, 1))])
    worker.consumer.turn()
    worker.reporter.turn()
    finish(worker)
    for _ in range(3):
        worker.reporter.turn()

    told = tier.reports()
    assert [each.state for each in told] == [WorkerState.IDLE, WorkerState.BUSY, WorkerState.IDLE]
    assert [each.in_flight for each in told] == [0, 1, 0]

    tier.clock.now += REPORT_S
    worker.reporter.turn()
    assert len(tier.reports()) == 4


def test_results_are_counted_and_failed_ones_apart(tier: Tier) -> None:
    tier.submit([picture((1, 1, 1)), b"", picture((2, 2, 2))])
    worker = tier.worker()

    work(worker)
    worker.reporter.turn()

    (report,) = tier.reports()
    assert (report.worker, report.done, report.failed) == ("worker-1", 3, 1)


def test_the_age_of_the_oldest_image_that_is_held_is_told(tier: Tier) -> None:
    worker = tier.worker()
    tier.clock.now = time.time() - 100
    tier.submit([picture((1, 1, 1))])
    tier.clock.now += 70
    tier.submit([picture((2, 2, 2))])
    worker.reporter.report(WorkerState.IDLE)
    worker.consumer.turn()
    worker.reporter.report(WorkerState.BUSY)
    finish(worker)
    worker.reporter.report(WorkerState.IDLE)

    before, held, after = (report.oldest_s for report in tier.reports())
    assert before is after is None
    assert held == pytest.approx(100, abs=20)


def test_when_the_newest_image_it_has_had_was_asked_for_is_told(tier: Tier) -> None:
    worker = tier.worker()
    tier.submit([picture((1, 1, 1))])
    tier.clock.now += 70
    tier.submit([picture((2, 2, 2))])
    newest = tier.clock.now
    worker.reporter.report(WorkerState.IDLE)
    worker.consumer.turn()
    finish(worker)
    worker.reporter.report(WorkerState.IDLE)

    before, after = (report.newest_at for report in tier.reports())
    assert before is None
    assert after is not None
    assert after.timestamp() == pytest.approx(newest, abs=0.01)


def test_a_queue_whose_clock_is_ahead_makes_no_image_younger_than_now(tier: Tier) -> None:
    worker = tier.worker()
    tier.clock.now = time.time() + 100
    tier.submit([picture((1, 1, 1))])
    worker.consumer.turn()
    worker.reporter.report(WorkerState.BUSY)

    assert [report.oldest_s for report in tier.reports()] == [0]


def test_a_report_that_cannot_be_sent_costs_only_a_line_in_the_log(tier: Tier) -> None:
    worker = tier.worker()
    tier.telemetry.missing = True

    with capture_logs() as logs:
        for _ in range(10):
            worker.reporter.turn()
            tier.clock.now += REPORT_S
        tier.telemetry.missing = False
        worker.reporter.turn()

    assert len(tier.reports()) == 1
    assert [each["log_level"] for each in logs] == ["warning", "info"]


def test_service_time_is_that_of_the_busiest_stage() -> None:
    service = ServiceTime(stages=3)
    assert service.seconds() == 0

    service.update([0.3, 2.0, 0.7], done=100)

    assert service.seconds() == pytest.approx(0.02)


def test_service_time_does_not_grow_while_nothing_is_asked() -> None:
    service = ServiceTime(stages=1)
    service.update([1.0], done=50)

    for _ in range(1000):
        service.update([1.0], done=50)

    assert service.seconds() == pytest.approx(0.02)


def test_service_time_follows_a_change_within_some_hundred_images() -> None:
    service = ServiceTime(stages=1)
    service.update([10.0], done=1000)
    for step in range(1, 11):
        service.update([10.0 + 2.0 * step], done=1000 + 50 * step)

    assert service.seconds() == pytest.approx(0.04, rel=0.2)


def test_time_without_a_result_makes_the_service_time_grow() -> None:
    service = ServiceTime(stages=1)
    service.update([1.0], done=100)

    service.update([31.0], done=100)

    assert service.seconds() > 0.1
