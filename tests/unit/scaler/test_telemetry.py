import itertools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from fakes import MemoryQueue
from imagefleet_core.errors import Unavailable
from imagefleet_core.queues import BATCH
from imagefleet_core.telemetry import Announcement, Report, WorkerState
from imagefleet_scaler.telemetry import MAX_RECEIVES, Ear, News, Telemetry

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


def test_a_large_fleet_is_heard_whole_in_one_turn(queue: MemoryQueue) -> None:
    queue.send([report(number).encode() for number in range(1000)])

    assert len(Telemetry(queue).take(workers=500).reports) == 1000


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


@pytest.mark.parametrize("call", ["receive", "delete"])
def test_what_was_received_is_told_though_the_queue_fails_after_that(
    queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    queue.send([report(number).encode() for number in range(BATCH + 1)])
    whole, calls = getattr(queue, call), itertools.count(1)

    def second_fails(*arguments: Any, **options: Any) -> Any:
        if next(calls) > 1:
            raise Unavailable("SQS does not answer")
        return whole(*arguments, **options)

    monkeypatch.setattr(queue, call, second_fails)

    assert len(Telemetry(queue).take().reports) >= BATCH


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


def test_an_ear_survives_an_error_nobody_foresaw(
    queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry, woken = Telemetry(queue), threading.Event()
    answers: Iterator[News] = iter([News([], [Announcement(5, NOW)])])
    tries = 0

    def take(wait_s: int) -> News:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise KeyError("Messages")
        return next(answers)

    monkeypatch.setattr(telemetry, "take", take)
    monkeypatch.setattr("imagefleet_scaler.telemetry.PAUSE_S", 0.01)
    ear = Ear(telemetry, woken.set)

    with capture_logs() as logged:
        ear.listen()
        assert woken.wait(10)
    ear.close()

    assert ear.heard().announcements == [Announcement(5, NOW)]
    assert [each["log_level"] for each in logged] == ["error"]


def test_an_ear_that_was_paused_forgets_what_it_heard_and_takes_no_more(
    queue: MemoryQueue,
) -> None:
    woken = threading.Event()
    ear = Ear(Telemetry(queue), woken.set)
    ear.listen()
    queue.send([Announcement(5, NOW).encode()])
    assert woken.wait(20)

    ear.pause()
    queue.send([Announcement(6, NOW).encode()])

    assert ear.heard().announcements == []
    assert len(queue.bodies()) == 1
    ear.close()
