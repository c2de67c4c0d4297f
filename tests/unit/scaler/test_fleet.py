from datetime import UTC, datetime, timedelta

import pytest

from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scaler.boots import Boots
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.policy import Phase
from imagefleet_scaler.providers.base import Instance, InstanceState

NOW = 1_800_000_000.0
CAT = Instance("cat", InstanceState.RUNNING, NOW - 5)
DOG = Instance("dog", InstanceState.RUNNING, NOW - 3)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(boots=Boots(120), lost_after_s=60)


def report(
    worker: str = "cat",
    state: WorkerState = WorkerState.IDLE,
    *,
    at: float = 0,
    done: int = 0,
    service_s: float = 0,
    newest: float | None = None,
) -> Report:
    written = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=at)
    newest_at = None if newest is None else datetime.fromtimestamp(NOW + newest, UTC)
    return Report(worker, state, written, 0, done, 0, service_s, newest_at=newest_at)


def phase(fleet: Fleet, *reports: Report, instance: Instance = CAT, now: float = NOW) -> Phase:
    """The phase of the one worker that is listed."""
    (worker,) = fleet.update([instance], reports, now)
    return worker.phase


def later(fleet: Fleet, seconds: float, *reports: Report, now: float = NOW) -> Phase:
    """The phase of the one worker so many seconds later, after a look every two seconds."""
    for step in range(2, int(seconds), 2):
        phase(fleet, now=now + step)
    return phase(fleet, *reports, now=now + seconds)


def test_a_worker_boots_until_its_first_report(fleet: Fleet) -> None:
    assert phase(fleet) is Phase.BOOTING
    assert phase(fleet, report(), now=NOW + 5) is Phase.IDLE


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (WorkerState.IDLE, Phase.IDLE),
        (WorkerState.BUSY, Phase.BUSY),
        (WorkerState.DRAINING, Phase.DRAINING),
        (WorkerState.STOPPED, Phase.DRAINING),
    ],
)
def test_a_worker_is_what_it_reports(fleet: Fleet, state: WorkerState, expected: Phase) -> None:
    assert phase(fleet, report(state=state)) is expected


def test_a_retired_worker_drains_whatever_it_reports(fleet: Fleet) -> None:
    retired = Instance("cat", InstanceState.STOPPING, NOW - 5)

    assert phase(fleet, report(state=WorkerState.IDLE), instance=retired) is Phase.DRAINING


def test_the_newest_report_counts_in_whatever_order_they_come(fleet: Fleet) -> None:
    older, newer = report(state=WorkerState.BUSY, at=1), report(state=WorkerState.IDLE, at=2)

    assert phase(fleet, newer, older) is Phase.IDLE
    assert phase(fleet, older, older, newer) is Phase.IDLE


def test_a_report_that_comes_again_is_no_sign_of_life(fleet: Fleet) -> None:
    phase(fleet, report(at=1))

    assert later(fleet, 61, report(at=1)) is Phase.LOST


def test_a_report_of_an_unknown_worker_is_ignored(fleet: Fleet) -> None:
    assert fleet.update([], [report()], NOW) == ()
    assert phase(fleet) is Phase.BOOTING


def test_a_worker_that_falls_silent_is_lost_until_it_is_heard_again(fleet: Fleet) -> None:
    assert phase(fleet, report()) is Phase.IDLE
    assert later(fleet, 60) is Phase.IDLE
    assert phase(fleet, now=NOW + 61) is Phase.LOST
    assert phase(fleet, report(at=62), now=NOW + 62) is Phase.IDLE


def test_a_worker_that_never_reports_is_lost_after_the_boot_time(fleet: Fleet) -> None:
    assert phase(fleet) is Phase.BOOTING
    assert later(fleet, 120) is Phase.BOOTING
    assert phase(fleet, now=NOW + 121) is Phase.LOST


def test_a_clock_that_goes_back_makes_nobody_lost(fleet: Fleet) -> None:
    phase(fleet, report())

    assert phase(fleet, now=NOW - 3600) is Phase.IDLE


def test_the_clocks_of_workers_and_engine_need_not_agree_with_ours(fleet: Fleet) -> None:
    hours_ago = Instance("cat", InstanceState.RUNNING, NOW - 7200)
    fleet.launched(["cat"], NOW - 2)

    assert phase(fleet, instance=hours_ago) is Phase.BOOTING
    assert phase(fleet, report(at=-7200), instance=hours_ago, now=NOW + 2) is Phase.IDLE


def test_a_worker_much_older_than_the_scaler_is_at_work_until_it_falls_silent(
    fleet: Fleet,
) -> None:
    hours_ago = Instance("cat", InstanceState.RUNNING, NOW - 7200)

    phases = [phase(fleet, instance=hours_ago, now=NOW + step) for step in range(0, 64, 2)]

    assert phases == [Phase.BUSY] * 31 + [Phase.LOST]
    assert fleet.boots.failed == 0


@pytest.mark.parametrize("jump_s", [-3600, 61, 3600], ids="{:+} s".format)
def test_silence_while_nobody_listened_makes_nobody_lost(fleet: Fleet, jump_s: float) -> None:
    phase(fleet, report())

    assert phase(fleet, now=NOW + jump_s) is Phase.IDLE
    assert later(fleet, 30, now=NOW + jump_s) is Phase.IDLE
    assert later(fleet, 120, now=NOW + jump_s + 30) is Phase.LOST


def test_a_boot_that_spans_a_suspended_night_is_not_given_up(fleet: Fleet) -> None:
    fleet.launched(["cat"], NOW)

    assert phase(fleet, now=NOW + 8 * 3600) is Phase.BOOTING
    assert fleet.boots.failed == 0


def test_a_launch_is_never_in_the_future(fleet: Fleet) -> None:
    fleet.launched(["cat"], NOW)

    (worker,) = fleet.update([CAT], [], NOW - 3600)

    assert worker.launched_at == NOW - 3600


def test_a_worker_that_died_is_forgotten(fleet: Fleet) -> None:
    fleet.update([CAT, DOG], [report("cat"), report("dog")], NOW)

    assert [worker.id for worker in fleet.update([DOG], [], NOW + 2)] == ["dog"]
    assert phase(fleet, now=NOW + 4) is Phase.BOOTING


def test_service_time_is_the_mean_over_all_images_done(fleet: Fleet) -> None:
    reports = [report("cat", done=30, service_s=0.1), report("dog", done=10, service_s=0.5)]

    fleet.update([CAT, DOG], reports, NOW)

    assert fleet.service_s == pytest.approx(0.2)
    assert fleet.measured == 40


def test_service_time_is_unknown_before_the_first_image(fleet: Fleet) -> None:
    fleet.update([CAT], [report()], NOW)

    assert fleet.service_s is None


def test_service_time_outlives_the_workers_that_measured_it(fleet: Fleet) -> None:
    fleet.update([CAT], [report(done=10, service_s=0.3)], NOW)

    fleet.update([], [], NOW + 60)

    assert fleet.service_s == pytest.approx(0.3)


def test_boots_are_learned_from_workers_that_were_launched(fleet: Fleet) -> None:
    fleet.update([], [], NOW)
    fleet.launched(["cat"], NOW)

    assert later(fleet, 30, report(at=30)) is Phase.IDLE

    assert fleet.boots.usual_s == 30


@pytest.mark.parametrize("began", [False, True])
def test_nothing_is_learned_of_boots_from_who_is_found(fleet: Fleet, began: bool) -> None:
    if began:
        fleet.update([], [], NOW - 2)
    fleet.update([CAT], [], NOW)
    fleet.update([CAT], [report(at=2)], NOW + 2)

    assert fleet.boots.usual_s is None


def test_a_worker_that_ends_before_its_first_report_came_to_nothing(fleet: Fleet) -> None:
    fleet.update([DOG], [report("dog")], NOW - 2)
    fleet.launched(["cat"], NOW - 2)
    fleet.update([CAT, DOG], [], NOW)

    fleet.update([], [], NOW + 2)
    fleet.update([], [], NOW + 4)

    assert (fleet.boots.failed, fleet.boots.failed_at) == (1, NOW + 2)


def test_one_that_was_there_before_the_scaler_began_may_have_done_its_work(fleet: Fleet) -> None:
    fleet.update([CAT], [], NOW)

    fleet.update([], [], NOW + 2)

    assert fleet.boots.failed == 0


def test_one_that_came_by_another_id_than_was_expected_did_not(fleet: Fleet) -> None:
    fleet.update([Instance("order-1", InstanceState.RUNNING, NOW, expected=True)], [], NOW)

    fleet.update([CAT], [], NOW + 2)

    assert fleet.boots.failed == 0


def test_one_of_older_parts_is_outdated(fleet: Fleet) -> None:
    old = Instance("cat", InstanceState.RUNNING, NOW, outdated=True)

    assert [each.outdated for each in fleet.update([old, DOG], [], NOW)] == [True, False]


def test_one_that_was_retired_before_did_not(fleet: Fleet) -> None:
    fleet.launched(["cat"], NOW - 2)
    fleet.update([CAT], [], NOW)
    fleet.retired(["cat"])

    fleet.update([], [], NOW + 4)

    assert fleet.boots.failed == 0


def test_one_that_is_seen_going_by_itself_came_to_nothing(fleet: Fleet) -> None:
    fleet.launched(["cat"], NOW - 2)
    fleet.update([CAT], [], NOW)
    fleet.update([Instance("cat", InstanceState.STOPPING, NOW)], [], NOW + 2)

    fleet.update([], [], NOW + 4)

    assert fleet.boots.failed == 1


def test_a_boot_that_is_overdue_came_to_nothing_once(fleet: Fleet) -> None:
    for seconds in range(0, 200, 2):
        fleet.update([CAT], [], NOW + seconds)
    fleet.update([], [], NOW + 200)

    assert fleet.boots.failed == 1


def test_images_done_are_counted_once_whoever_told_of_them(fleet: Fleet) -> None:
    fleet.launched(["cat", "dog"], NOW)
    fleet.update([CAT, DOG], [report("cat", at=1, done=10), report("dog", at=1, done=5)], NOW)
    fleet.update([CAT, DOG], [report("cat", at=1, done=10), report("cat", at=2, done=12)], NOW)

    fleet.update([DOG], [report("dog", at=3, done=6)], NOW)

    assert fleet.done == 18


def test_the_last_report_of_a_worker_that_is_gone_by_then_counts(fleet: Fleet) -> None:
    fleet.update([CAT], [report(at=1, done=1)], NOW)

    fleet.update([], [report(at=2, state=WorkerState.STOPPED, done=7, newest=-1)], NOW + 2)

    assert (fleet.done, fleet.sent_at) == (6, NOW - 1)


def test_a_worker_that_came_and_went_between_two_looks_has_not_failed(fleet: Fleet) -> None:
    fleet.launched(["cat"], NOW)

    fleet.update([], [report(at=1, state=WorkerState.STOPPED, done=1)], NOW + 2)

    assert (fleet.boots.failed, fleet.done) == (0, 1)


def test_what_was_done_before_the_scaler_began_is_not_its_to_count(fleet: Fleet) -> None:
    fleet.update([CAT], [report(at=1, done=1000)], NOW)
    fleet.update([CAT], [report(at=2, done=1010)], NOW)

    assert fleet.done == 10


def test_an_instance_that_was_started_again_counts_from_nothing(fleet: Fleet) -> None:
    fleet.launched(["cat"], NOW)
    fleet.update([CAT], [report(at=1, done=10)], NOW)

    fleet.update([CAT], [report(at=2, done=3)], NOW)

    assert fleet.done == 13


def test_the_newest_image_that_anybody_had_is_known(fleet: Fleet) -> None:
    fleet.update([CAT, DOG], [report("cat", newest=-5), report("dog", newest=-9)], NOW)
    fleet.update([], [], NOW + 60)

    assert fleet.sent_at == NOW - 5


def test_a_launch_of_unknown_outcome_that_is_known_by_another_id_has_not_failed(
    fleet: Fleet,
) -> None:
    expected = Instance("launch-1", InstanceState.RUNNING, NOW, expected=True)
    fleet.update([], [], NOW)
    fleet.update([expected], [], NOW + 2)

    fleet.update([Instance("i-1", InstanceState.RUNNING, NOW)], [], NOW + 4)

    assert fleet.boots.failed == 0


def test_a_fleet_that_another_scaler_led_meanwhile_is_no_fleet_of_newborns(fleet: Fleet) -> None:
    # given a scaler that has led, stood by for half an hour, and leads again
    fleet.update([DOG], [report("dog")], NOW - 1800)
    fleet.update([DOG], [report("dog", at=1, done=100)], NOW - 1798)
    fleet.forget()

    # when there are workers of the other scaler's, of which it has not heard yet
    old = Instance("cat", InstanceState.RUNNING, NOW - 1800)
    (cat,) = fleet.update([old], [], NOW)
    fleet.update([old], [report(done=500)], NOW + 2)

    # then they have worked for long, and nothing is learned of their boots, nor counted twice
    assert (cat.phase, cat.launched_at) == (Phase.BUSY, NOW - 1800)
    assert (fleet.boots.usual_s, fleet.done) == (None, 100)


def test_a_worker_that_the_provider_missed_for_a_while_is_no_newborn(fleet: Fleet) -> None:
    old = Instance("cat", InstanceState.RUNNING, NOW - 1800)
    fleet.update([old], [report(done=500)], NOW)
    fleet.update([], [], NOW + 2)

    (cat,) = fleet.update([old], [report(at=4, done=510)], NOW + 4)

    assert (cat.phase, cat.launched_at, fleet.boots.usual_s) == (Phase.IDLE, NOW - 1800, None)


@pytest.mark.parametrize("state", [WorkerState.DRAINING, WorkerState.STOPPED])
def test_what_an_instance_said_in_its_former_life_comes_too_late(
    fleet: Fleet, state: WorkerState
) -> None:
    fleet.launched(["cat"], NOW)

    assert phase(fleet, report(state=state, at=-40), now=NOW + 3) is Phase.BOOTING
    assert fleet.boots.usual_s is None
    assert phase(fleet, report(state=state, at=4), now=NOW + 5) is Phase.DRAINING


def test_it_is_known_who_came_to_nothing_until_the_next_look(fleet: Fleet) -> None:
    fleet.launched(["cat", "dog"], NOW)

    missed: list[tuple[str, ...]] = []
    for step, instances in enumerate([[CAT, DOG], [CAT], [CAT]]):
        fleet.update(instances, [], NOW + 2 * step)
        missed.append(fleet.missed)

    assert missed == [(), ("dog",), ()]
