from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
from structlog.testing import capture_logs

from imagefleet_core.errors import Unavailable
from imagefleet_web import background
from imagefleet_web.background import Background
from web_tier import CHELSEA, DEADLINE_S, Web, World, eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(background, "LONGEST_PAUSE_S", 0.002)


def turns(outcomes: list[Exception | None], finished: Event) -> Callable[[], float]:
    """Return a turn that ends as told, one outcome after the other."""
    left = iter(outcomes)

    def turn() -> float:
        outcome = next(left, finished)
        if outcome is finished:
            finished.set()
            return 60
        if isinstance(outcome, Exception):
            raise outcome
        return 0

    return turn


def test_a_turn_is_repeated_also_after_it_failed() -> None:
    finished = Event()
    silent, bug = Unavailable("no answer"), RuntimeError("a bug")
    turn = turns([None, silent, silent, bug, None, None, silent, None], finished)
    running = Background({"the work": turn})

    with capture_logs() as logs:
        running.start()
        assert finished.wait(DEADLINE_S)
    running.stop()

    # then what went wrong was logged when it began, with a traceback only where nobody foresaw it,
    # and that it was over
    assert [(line["event"], line.get("reason"), line.get("exc_info")) for line in logs] == [
        ("turn failed", "no answer", False),
        ("turn failed", "a bug", True),
        ("turn works again", None, None),
        ("turn failed", "no answer", False),
        ("turn works again", None, None),
    ]


def test_a_failure_that_lasts_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TELL_AGAIN_S", 0.0)
    finished = Event()
    running = Background({"the work": turns([Unavailable("no answer")] * 3, finished)})

    with capture_logs() as logs:
        running.start()
        assert finished.wait(DEADLINE_S)
    running.stop()

    assert [line["event"] for line in logs[:3]] == ["turn failed"] * 3


def test_one_turn_that_fails_does_not_hold_up_another() -> None:
    finished = Event()

    def fail() -> float:
        raise RuntimeError("always")

    running = Background({"bad": fail, "good": turns([None] * 50, finished)})
    running.start()

    assert finished.wait(DEADLINE_S)
    running.stop()


def test_with_its_background_a_process_answers_by_itself(web: Web, world: World) -> None:
    web.services.background.start()
    asked = [
        web.meanwhile(lambda: web.upload(("1.jpg", CHELSEA), query_string={"wait": "20"}))
        for _ in range(30)
    ]

    world.finish(world.take(30))

    assert {each.answer().status_code for each in asked} == {200}


def test_a_process_without_its_replies_queue_makes_it_by_itself(web: Web, world: World) -> None:
    world.queues.remove(web.services.replies.name)

    web.services.background.start()
    asked = web.meanwhile(lambda: web.upload(("1.jpg", CHELSEA), path="/?wait=20"))
    requests = world.take(1)
    replies = world.queues.open(web.services.replies.name)
    eventually(lambda: not replies.missing)
    world.finish(requests)

    assert asked.answer().text == "1.jpg 1\n"
