import threading
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from fakes import MemoryQueue
from imagefleet_core.errors import Unavailable
from imagefleet_core.telemetry import Announcement, Report, WorkerState
from imagefleet_scaler.telemetry import FRESH_S, MAX_RECEIVES, Announced, Ear, Telemetry

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue("telemetry", clock=lambda: 0)


def report(number: int) -> Report:
    return Report(f"worker-{number}", WorkerState.IDLE, NOW, 0, number, 0, 0.1)


def test_all_reports_are_taken_once(queue: MemoryQueue) -> None:
    queue.send([report(number).encode() for number in range(25)])

    assert Telemetry(queue).take().reports == [report(number) for number in range(25)]
    assert queue.bodies() == []


def test_one_turn_takes_a_bounded_number_and_the_next_one_the_rest(queue: MemoryQueue) -> None:
    queue.send([report(number).encode() for number in range(10 * MAX_RECEIVES + 5)])
    telemetry = Telemetry(queue)

    assert len(telemetry.take().reports) == 10 * MAX_RECEIVES
    assert len(telemetry.take().reports) == 5


def test_what_is_no_report_is_logged_and_dropped(queue: MemoryQueue) -> None:
    queue.send(["rubbish", report(1).encode()])

    with capture_logs() as logged:
        assert Telemetry(queue).take().reports == [report(1)]

    assert [entry["body"] for entry in logged] == ["rubbish"]
    assert queue.bodies() == []


def test_peeking_leaves_the_reports_there(queue: MemoryQueue) -> None:
    queue.send([report(1).encode()])
    telemetry = Telemetry(queue)

    assert telemetry.peek().reports == [report(1)]
    assert telemetry.take().reports == [report(1)]


def test_a_queue_that_does_not_answer_is_the_callers_business(queue: MemoryQueue) -> None:
    queue.outage.begin()

    with pytest.raises(Unavailable):
        Telemetry(queue).take()


def test_reports_and_announcements_are_told_apart(queue: MemoryQueue) -> None:
    announced = Announcement(12, NOW)
    queue.send([report(1).encode(), announced.encode()])

    news = Telemetry(queue).take()

    assert (news.reports, news.announcements) == ([report(1)], [announced])


def test_an_announcement_counts_once_and_for_a_while() -> None:
    announced, twice = Announced(), Announcement(12, NOW)

    assert announced.images([twice, Announcement(3, NOW)], 100) == 15
    assert announced.images([twice], 101) == 15
    assert announced.images([], 100 + FRESH_S) == 15
    assert announced.images([], 101 + FRESH_S) == 0
    assert announced.images([twice], 102 + FRESH_S) == 0


def test_a_clock_that_jumps_forgets_announcements() -> None:
    announced = Announced()
    announced.images([Announcement(12, NOW)], 100)

    assert announced.images([], 50) == 0


def test_an_ear_wakes_its_loop_when_something_comes(queue: MemoryQueue) -> None:
    woken = threading.Event()
    ear = Ear(Telemetry(queue), woken.set)

    ear.listen()
    queue.send([Announcement(5, NOW).encode()])

    assert woken.wait(20)
    assert ear.heard().announcements == [Announcement(5, NOW)]
    assert ear.heard().announcements == []
    ear.close()


def test_an_ear_that_nobody_told_to_listen_leaves_everything_there(queue: MemoryQueue) -> None:
    ear = Ear(Telemetry(queue), lambda: None)
    queue.send([Announcement(5, NOW).encode()])

    assert ear.heard().announcements == []
    assert len(queue.bodies()) == 1
    ear.close()
