from threading import Thread

from fakes import MemoryQueue
from imagefleet_core.telemetry import Announcement
from imagefleet_web.scaling.announcing import PACE_S, Announcer


def told(queue: MemoryQueue) -> list[int]:
    return [Announcement.decode(body).images for body in queue.bodies()]


def test_what_was_queued_is_told_at_once_and_together() -> None:
    queue = MemoryQueue("telemetry", clock=lambda: 0)
    announcer = Announcer(queue)

    announcer.queued(3)
    announcer.queued(4)
    rest_s = announcer.turn()

    assert told(queue) == [7]
    assert rest_s == PACE_S


def test_a_turn_waits_for_something_to_tell() -> None:
    queue = MemoryQueue("telemetry", clock=lambda: 0)
    announcer = Announcer(queue)
    turn = Thread(target=announcer.turn)

    turn.start()
    announcer.queued(1)
    turn.join(20)

    assert told(queue) == [1]


def test_nothing_is_told_twice() -> None:
    queue = MemoryQueue("telemetry", clock=lambda: 0)
    announcer = Announcer(queue)
    announcer.queued(3)
    announcer.turn()

    announcer.queued(2)
    announcer.turn()

    assert told(queue) == [3, 2]


def test_a_queue_that_does_not_answer_costs_nobody_anything() -> None:
    queue = MemoryQueue("telemetry", clock=lambda: 0)
    announcer = Announcer(queue)
    queue.outage.begin("send", times=1)

    announcer.queued(3)
    announcer.turn()
    announcer.queued(2)
    announcer.turn()

    assert told(queue) == [2]
