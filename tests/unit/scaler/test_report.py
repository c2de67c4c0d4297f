"""The account of the fleet from turn to turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagefleet_core.fleet import FleetReport
from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scaler.policy import (
    Decision,
    Memory,
    Observation,
    Phase,
    PolicyConfig,
    Worker,
    decide,
)
from imagefleet_scaler.report import DECISIONS, POINTS, Account, Turn

NOW = 1_800_000_000.0


def moment(after_s: float = 0) -> datetime:
    return datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=after_s)


def account(before: FleetReport | None = None, **changed: Any) -> Account:
    settings = {"min_workers": 0, "max_workers": 20, "usd_per_hour": 0, "fresh_s": 24} | changed
    return Account(before, **settings)


def worker(name: str = "cat", phase: Phase = Phase.BUSY, launched_s: float = 0) -> Worker:
    return Worker(name, phase, NOW + launched_s)


def report(name: str = "cat", at_s: float = 0, done: int = 0, **more: Any) -> Report:
    figures: dict[str, Any] = {"in_flight": 0, "failed": 0, "service_s": 0.0} | more
    return Report(name, WorkerState.BUSY, moment(at_s), done=done, **figures)


def turn(
    after_s: float = 0,
    workers: Sequence[Worker] = (),
    reports: Sequence[Report] = (),
    *,
    waiting: int = 0,
    **decided: Any,
) -> Turn:
    seen = Observation(waiting, workers=tuple(workers))
    choice: dict[str, Any] = {"desired": 0, "launch": 0, "retire": (), "why": "so"} | decided
    decision = Decision(memory=Memory(at=NOW + after_s), **choice)
    return Turn(seen, decision, {each.worker: each for each in reports})


def told_by(account: Account, *turns: Turn) -> FleetReport:
    """Let an account take turns in, and return what it tells then."""
    for each in turns:
        account.add(each)
    told = account.report()
    assert told
    return told


def test_there_is_nothing_to_tell_before_the_first_turn() -> None:
    assert account().report() is None


def test_a_report_tells_what_was_seen_and_decided() -> None:
    heard = report(done=120, in_flight=3, failed=1, service_s=0.0151239, oldest_s=1.5)
    seen = Observation(90, 10, 2, (worker(), worker("dog", Phase.BOOTING, -5)))
    decision = Decision(4, 2, ("old",), "a sentence", Memory(at=NOW))

    told = told_by(account(min_workers=1), Turn(seen, decision, {"cat": heard})).told()

    assert told["at"] == "2027-01-15T08:00:00.000Z"
    assert told["queue"] == {"visible": 90, "in_flight": 10, "delayed": 2, "oldest_s": 1.5}
    cat, dog = told["workers"]
    assert cat == {
        "id": "cat",
        "phase": "busy",
        "launched_at": "2027-01-15T08:00:00.000Z",
        "in_flight": 3,
        "done": 120,
        "failed": 1,
        "service_s": 0.015124,
        "images_per_s": None,
    }
    assert (dog["phase"], dog["in_flight"], dog["service_s"]) == ("booting", 0, None)
    assert dog["launched_at"] == "2027-01-15T07:59:55.000Z"
    assert (told["desired"], told["min_workers"], told["max_workers"]) == (4, 1, 20)
    (decided,) = told["decisions"]
    assert decided == {
        "at": told["at"],
        "desired": 4,
        "launch": 2,
        "retire": 1,
        "why": "a sentence",
    }
    assert told["cost"] is None
    (point,) = told["history"]
    assert point == {
        "at": told["at"],
        "waiting": 92,
        "in_flight": 10,
        "workers": 2,
        "ready": 1,
        "desired": 4,
        "done": 120,
    }


def test_a_report_is_fresh_for_a_while_but_at_rest_for_good() -> None:
    assert told_by(account(), turn(workers=[worker()])).fresh_s == 24
    assert told_by(account(), turn(waiting=1)).fresh_s == 24
    assert told_by(account(), turn()).fresh_s is None


def test_no_age_is_told_of_an_empty_queue() -> None:
    told = told_by(account(), turn(workers=[worker()], reports=[report(oldest_s=3.0)]))

    assert told.queue.oldest_s is None


# Progress


def test_images_a_second_come_from_the_growth_between_reports() -> None:
    turns = [turn(at, [worker()], [report(at_s=at, done=at * 40)]) for at in (0, 5, 10)]

    (told,) = told_by(account(), *turns).workers

    assert told.images_per_s == 40


def test_images_a_second_follow_a_change_within_two_reports() -> None:
    turns = [turn(at, [worker()], [report(at_s=at, done=min(at, 20))]) for at in range(0, 36, 5)]
    rates = []
    book = account()
    for each in turns:
        (told,) = told_by(book, each).workers
        rates.append(told.images_per_s)

    assert rates == [None, 1, 1, 1, 1, 0.5, 0, 0]


def test_a_report_that_comes_again_changes_no_figure() -> None:
    book = account()
    first, second = report(at_s=0, done=10), report(at_s=5, done=60)
    before = told_by(book, turn(0, [worker()], [first]), turn(5, [worker()], [second]))

    after = told_by(book, turn(7, [worker()], [second]))

    assert after.workers == before.workers
    assert after.done == before.done == 60


def test_a_lost_worker_has_no_rate() -> None:
    turns = [turn(at, [worker()], [report(at_s=at, done=at)]) for at in (0, 5)]
    lost = turn(70, [worker(phase=Phase.LOST)], [report(at_s=5, done=5)])

    (told,) = told_by(account(), *turns, lost).workers

    assert (told.phase, told.done, told.images_per_s) == ("lost", 5, None)


def test_results_are_summed_over_all_workers_that_ever_were() -> None:
    both = [worker("cat"), worker("dog")]

    told = told_by(
        account(),
        turn(0, both, [report("cat", done=10), report("dog", done=5)]),
        turn(6, [worker("dog")], [report("dog", 6, done=8)]),
        turn(12, both, [report("cat", 12, done=11), report("dog", 12, done=9)]),
    )

    assert told.done == told.history[-1].done == 20


def test_a_worker_that_began_anew_under_its_old_name_is_counted_on() -> None:
    told = told_by(
        account(),
        turn(0, [worker()], [report(at_s=0, done=100)]),
        turn(6, [worker()], [report(at_s=6, done=3)]),
        turn(12, [worker()], [report(at_s=12, done=9)]),
    )

    assert told.done == 109
    assert told.workers[0].images_per_s == 1


# Decisions


def test_decisions_are_kept_that_change_something_or_have_another_kind_of_reason() -> None:
    told = told_by(
        account(),
        turn(0, why="nothing waits, and 0 workers should be there"),
        turn(2, why="nothing waits, and 0 workers should be there"),
        turn(4, launch=2, why="answering 25 images within 10 s takes 2 workers; 0 are there"),
        turn(6, launch=1, why="answering 30 images within 10 s takes 3 workers; 2 are there"),
        turn(8, why="answering 1 image within 10 s takes 1 worker; 1 is there"),
        turn(10, why="answering 12 images within 10.5 s takes 2 workers; 2 are there"),
        turn(12, why="3 workers for a need of 0: idle ones may go"),
        turn(14, retire=("cat", "dog"), why="2 workers for a need of 0: idle ones may go"),
    )

    assert [(each.at, each.launch, each.retire) for each in told.decisions] == [
        (moment(14), 0, 2),
        (moment(12), 0, 0),
        (moment(6), 1, 0),
        (moment(4), 2, 0),
        (moment(0), 0, 0),
    ]


def test_the_policy_gives_the_same_kind_of_reason_for_other_numbers() -> None:
    book = account()
    for images in range(1, 40):
        seen = Observation(images, workers=(worker(), worker("dog")))
        decision = replace(decide(seen, PolicyConfig(service_s=0.1), NOW + images), launch=0)
        book.add(Turn(seen, decision, {}))

    told = book.report()
    assert told
    assert len(told.decisions) == 1


def test_the_newest_decisions_are_kept() -> None:
    told = told_by(account(), *(turn(at, launch=at) for at in range(1, 50)))

    assert [each.launch for each in told.decisions] == list(range(49, 49 - DECISIONS, -1))


# History


def test_the_history_has_a_point_every_five_seconds() -> None:
    told = told_by(account(), *(turn(at, waiting=at + 1) for at in range(0, 20, 2)))

    assert [each.at for each in told.history] == [moment(0), moment(6), moment(12), moment(18)]
    assert [each.waiting for each in told.history] == [1, 7, 13, 19]


def test_nothing_is_added_while_nothing_changes() -> None:
    told = told_by(account(), *(turn(at, [worker()]) for at in range(0, 100, 2)))

    assert len(told.history) == 1


def test_the_end_of_all_work_is_told_at_once() -> None:
    told = told_by(account(), turn(0, waiting=5), turn(2, waiting=3), turn(3), turn(4))

    assert [(each.at, each.waiting) for each in told.history] == [(moment(0), 5), (moment(3), 0)]


def test_the_newest_points_are_kept() -> None:
    told = told_by(account(), *(turn(at * 5, waiting=at) for at in range(POINTS + 10)))

    assert len(told.history) == POINTS
    assert (told.history[0].waiting, told.history[-1].waiting) == (10, POINTS + 9)


def test_a_clock_that_went_back_keeps_the_history_in_order() -> None:
    told = told_by(account(), *(turn(at, waiting=at) for at in (5, 10, 3605, 15, 20)))

    assert [each.waiting for each in told.history] == [5, 10, 15, 20]


# Cost


def test_workers_cost_by_the_second() -> None:
    workers = [worker("cat"), worker("dog", launched_s=1800)]

    told = told_by(
        account(usd_per_hour=0.06),
        turn(0, [worker("cat")]),
        turn(1800, [worker("cat")]),
        turn(3600, workers),
    )

    assert told.cost
    assert told.cost.since == moment(0)
    assert told.cost.hour_usd == pytest.approx(0.12)
    assert told.cost.total_usd == pytest.approx(0.06 + 0.03)


def test_a_worker_costs_a_minute_at_the_least() -> None:
    told = told_by(
        account(usd_per_hour=3600),
        *(turn(at, [worker()]) for at in range(0, 60, 2)),
        turn(60),
    )

    assert told.cost
    assert (told.cost.hour_usd, told.cost.total_usd) == (0, 60)


def test_a_worker_that_a_list_left_out_once_is_paid_for_once() -> None:
    told = told_by(
        account(usd_per_hour=3600),
        turn(100, [worker()]),
        turn(102),
        turn(104, [worker()], [report(done=7)]),
        turn(106, [worker()], [report(done=7)]),
    )

    assert told.cost
    assert told.cost.total_usd == 106
    assert told.done == 7


def test_a_clock_that_went_back_costs_nothing() -> None:
    told = told_by(account(usd_per_hour=3600), *(turn(at, [worker()]) for at in (100, 0, 50, 101)))

    assert told.cost
    assert told.cost.total_usd == 101


# A scaler that begins anew


@pytest.fixture
def before() -> FleetReport:
    """What a scaler told that was at work for five minutes."""
    book = account(usd_per_hour=3600)
    for at in range(0, 301, 5):
        book.add(turn(at, [worker()], [report(at_s=at, done=at)], waiting=at, launch=at % 2))
    told = book.report()
    assert told
    return FleetReport.decode(told.encode())


def test_the_next_scaler_goes_on_with_history_and_decisions(before: FleetReport) -> None:
    told = told_by(account(before), turn(310, [worker()], waiting=7))

    assert told.history[:-1] == before.history
    assert told.history[-1].at == moment(310)
    assert told.decisions == before.decisions


def test_the_next_scaler_counts_on_from_what_was_counted(before: FleetReport) -> None:
    told = told_by(
        account(before, usd_per_hour=3600),
        turn(310, [worker()]),  # not heard of yet
        turn(312, [worker()], [report(at_s=311, done=311)]),
    )

    assert told.done == 311
    assert told.cost
    assert (told.cost.since, told.cost.total_usd) == (moment(0), 312)


def test_an_old_report_that_comes_again_after_that_is_not_counted_again(
    before: FleetReport,
) -> None:
    told = told_by(
        account(before),
        turn(310, [worker()], [report(at_s=200, done=200)]),
        turn(312, [worker()], [report(at_s=311, done=311)]),
    )

    assert told.done == 311


def test_the_cost_begins_when_there_is_a_price(before: FleetReport) -> None:
    unpriced = replace(before, cost=None)

    told = told_by(account(unpriced, usd_per_hour=3600), turn(310, [worker(launched_s=310)]))

    assert told.cost
    assert (told.cost.since, told.cost.total_usd) == (moment(310), 60)
