from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from fakes import MemoryQueue
from imagefleet_core.errors import Unavailable
from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scaler.telemetry import MAX_RECEIVES, Telemetry

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue("telemetry", clock=lambda: 0)


def report(number: int) -> Report:
    return Report(f"worker-{number}", WorkerState.IDLE, NOW, 0, number, 0, 0.1)


def test_all_reports_are_taken_once(queue: MemoryQueue) -> None:
    queue.send([report(number).encode() for number in range(25)])

    assert Telemetry(queue).take() == [report(number) for number in range(25)]
    assert queue.bodies() == []


def test_one_turn_takes_a_bounded_number_and_the_next_one_the_rest(queue: MemoryQueue) -> None:
    queue.send([report(number).encode() for number in range(10 * MAX_RECEIVES + 5)])
    telemetry = Telemetry(queue)

    assert len(telemetry.take()) == 10 * MAX_RECEIVES
    assert len(telemetry.take()) == 5


def test_what_is_no_report_is_logged_and_dropped(queue: MemoryQueue) -> None:
    queue.send(["rubbish", report(1).encode()])

    with capture_logs() as logged:
        assert Telemetry(queue).take() == [report(1)]

    assert [entry["body"] for entry in logged] == ["rubbish"]
    assert queue.bodies() == []


def test_peeking_leaves_the_reports_there(queue: MemoryQueue) -> None:
    queue.send([report(1).encode()])
    telemetry = Telemetry(queue)

    assert telemetry.peek() == [report(1)]
    assert telemetry.take() == [report(1)]


def test_a_queue_that_does_not_answer_is_the_callers_business(queue: MemoryQueue) -> None:
    queue.outage.begin()

    with pytest.raises(Unavailable):
        Telemetry(queue).take()
