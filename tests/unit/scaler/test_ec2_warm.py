"""The warm pool: stopped instances that are started again, and what keeps it from leaking."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from ec2_account import BadDay, bad_day
from ec2_faults import (
    Fault,
    Killed,
    failed_after,
    killed_after,
    killed_before,
    lost_after,
    lost_before,
    refused,
)
from imagefleet_scaler.providers.base import InstanceState, ProviderError
from imagefleet_scaler.providers.ec2.provider import STARTED_S

WARM = ("stopping", "stopped")
WEEK_S = 7 * 24 * 3600


@pytest.fixture
def day() -> Iterator[BadDay]:
    """A day with a warm pool of two."""
    with bad_day(warm_pool=2) as made:
        yield made


def filled(day: BadDay, count: int = 4) -> set[str]:
    """Launch workers and retire them; return those that are kept."""
    day.provider.launch(count)
    day.provider.retire([each.id for each in day.turn()])
    day.turn()
    day.turn(6)
    return day.account.ids(*WARM)


def test_as_many_as_the_pool_holds_are_stopped_and_the_others_terminated(day: BadDay) -> None:
    warm = filled(day)

    assert len(warm) == 2
    assert day.account.ids() == set()
    day.turn()
    assert day.turn(5) == []
    assert day.account.ids(*WARM) == warm


def test_stopped_ones_are_started_before_new_ones_are_launched(day: BadDay) -> None:
    warm = filled(day)

    workers = day.provider.launch(3)

    assert warm < set(workers)
    assert len(workers) == 3
    assert {each.id for each in day.turn()} == set(workers) == day.account.ids()
    assert {each.state for each in day.turn()} == {InstanceState.RUNNING}


def test_one_that_was_just_started_runs_though_it_is_described_as_stopped(day: BadDay) -> None:
    warm = filled(day)
    day.ec2.stale = dict.fromkeys(warm, "stopped")

    (started,) = day.provider.launch(1)
    assert started in warm
    assert {each.id for each in day.turn()} == {started}
    assert day.account.ids() == {started}

    day.ec2.stale = {}
    assert {each.id for each in day.turn()} == {started}


def test_the_pool_holds_no_more_while_descriptions_lag(day: BadDay) -> None:
    first, *others = day.provider.launch(5)
    day.turn()
    day.ec2.stale = dict.fromkeys([first, *others], "running")

    day.provider.retire([first])
    day.turn()
    day.provider.retire(others)

    assert len(day.account.ids(*WARM)) == 2


def test_spot_instances_and_those_of_an_older_template_are_not_kept() -> None:
    with bad_day(warm_pool=2, spot_percent=100) as day:
        assert filled(day, 1) == set()
    with bad_day(warm_pool=2) as day:
        day.provider.launch(1)
        day.account.renew_template()
        day.clock.now += 60
        day.provider.retire([each.id for each in day.turn()])
        assert day.account.ids(*WARM) == set()


def test_those_who_never_came_to_work_are_not_kept(day: BadDay) -> None:
    silent, good = day.provider.launch(2)
    day.turn()

    day.provider.last_words([silent])
    day.turn()
    day.provider.retire([silent, good])

    assert day.account.ids(*WARM) == {good}


@pytest.mark.parametrize(
    "code",
    ["UnsupportedOperation", "IncorrectInstanceState", "UnauthorizedOperation", "InternalError"],
)
def test_what_cannot_be_stopped_is_terminated(day: BadDay, code: str) -> None:
    day.ec2.plan("stop_instances", refused(code, "No.", "StopInstances"))

    assert filled(day) == set()
    assert day.account.ids() == set()


def test_stopped_ones_that_are_too_many_are_terminated(day: BadDay) -> None:
    warm = filled(day)

    day.restart(warm_pool=1)
    day.turn(6)
    day.turn()

    assert len(day.account.ids(*WARM)) == 1
    assert day.account.ids(*WARM) < warm
    assert len(day.ec2.requests("terminate_instances")) == 2
    day.restart(warm_pool=0)
    day.turn(6)
    assert day.account.ids(*WARM) == set()


def test_stopped_ones_of_an_older_template_are_terminated(day: BadDay) -> None:
    filled(day)
    day.account.renew_template()

    day.turn(601)

    assert day.account.ids(*WARM) == set()
    (worker,) = day.provider.launch(1)
    (instance,) = day.account.instances()
    assert instance["InstanceId"] == worker
    assert {"Key": "imagefleet:template", "Value": "2"} in instance["Tags"]


def test_those_stopped_for_more_than_a_week_are_terminated(day: BadDay) -> None:
    warm = filled(day)
    stopped_at = max(
        each["StateTransitionReason"].partition("(")[2] for each in day.account.instances(*WARM)
    )
    assert stopped_at.startswith("20"), "moto tells when"
    day.clock.now = max(each["LaunchTime"].timestamp() for each in day.account.instances(*WARM))

    day.turn(WEEK_S - 60)
    assert day.account.ids(*WARM) == warm
    day.turn(120)

    assert day.account.ids(*WARM) == set()


def test_what_cannot_be_cleared_away_keeps_nobody_from_working(day: BadDay) -> None:
    filled(day)
    forbidden = refused("UnauthorizedOperation", "No.", "TerminateInstances")
    day.restart(warm_pool=0)
    day.ec2.plan("terminate_instances", *[forbidden] * 3)

    for _ in range(35):
        day.turn()
    assert len(day.provider.launch(1)) == 1
    # It is tried again, but not at every turn.
    assert len(day.ec2.requests("terminate_instances")) == 2 + 1


def test_without_capacity_for_stopped_ones_new_ones_are_launched(day: BadDay) -> None:
    warm = filled(day)
    lacking = refused("InsufficientInstanceCapacity", "None.", "StartInstances")
    day.ec2.plan("start_instances", lacking, lacking, lacking)

    workers = day.provider.launch(2)

    assert len(workers) == 2
    assert not warm & set(workers)
    assert day.account.ids(*WARM) == warm


def test_if_one_cannot_be_started_the_others_are(day: BadDay) -> None:
    warm = filled(day)
    bad = refused("IncorrectInstanceState", "Not now.", "StartInstances")
    day.ec2.plan("start_instances", bad, bad)

    workers = day.provider.launch(1 + 1)

    assert len(workers) == 2
    assert len(warm & set(workers)) == 1


@pytest.mark.parametrize("fault", [lost_before, lost_after])
def test_a_start_of_unknown_outcome_is_made_again(day: BadDay, fault: Fault) -> None:
    warm = filled(day)
    day.ec2.plan("start_instances", fault)

    with pytest.raises(ProviderError, match="starting stopped workers"):
        day.provider.launch(2)
    there = {each.id for each in day.turn()}
    day.provider.launch(2 - len(there))

    assert {each.id for each in day.turn()} == warm == day.account.ids()


def test_stopped_ones_whose_start_always_fails_keep_no_others_from_being_launched(
    day: BadDay,
) -> None:
    warm = filled(day)
    day.ec2.plan("start_instances", lost_before, lost_before, lost_before)
    with pytest.raises(ProviderError, match="starting stopped workers"):
        day.provider.launch(2)

    # when the next tries are not answered either, they count for a while after each
    for _ in range(2):
        assert set(day.provider.launch(2)) == warm
        assert {each.id for each in day.turn()} == warm
        day.clock.now += STARTED_S
        day.turn()

    # then others are launched
    workers = day.provider.launch(2)
    assert len(workers) == 2
    assert not warm & set(workers)


@pytest.mark.parametrize("fault", [killed_before, killed_after])
@pytest.mark.parametrize("operation", ["stop_instances", "start_instances"])
def test_a_scaler_that_dies_at_any_step_of_the_pool_leaks_nothing(
    day: BadDay, fault: Fault, operation: str
) -> None:
    day.ec2.plan(operation, fault)
    with suppress(Killed):
        filled(day)
        day.turn(6)
        day.provider.launch(2)

    day.restart(warm_pool=2)
    day.provider.retire([each.id for each in day.turn(6)])
    day.turn(6)
    day.turn(6)

    assert day.turn() == []
    assert day.account.ids() == set()
    assert len(day.account.ids(*WARM)) <= 2


@pytest.mark.parametrize("code", ["VcpuLimitExceeded", "InvalidAMIID.NotFound"])
def test_stopped_ones_are_started_while_ec2_launches_nobody(day: BadDay, code: str) -> None:
    workers = day.provider.launch(1)
    day.turn()
    day.ec2.plan("create_fleet", refused(code))
    with suppress(ProviderError):
        assert day.provider.launch(3) == []
    day.provider.retire(workers)
    day.turn()
    day.turn()

    assert day.provider.launch(3) == workers

    assert day.account.ids() == set(workers)
    assert len(day.ec2.requests("create_fleet")) == 2


def test_what_only_a_person_can_mend_is_still_told_when_nobody_is_left_in_the_pool(
    day: BadDay,
) -> None:
    filled(day)
    bad = refused("InvalidAMIID.NotFound")
    day.ec2.plan("create_fleet", bad)

    assert len(day.provider.launch(3)) == 2

    day.turn()
    with pytest.raises(ProviderError, match="make the image again"):
        day.provider.launch(1)


def test_stopped_ones_that_cannot_be_started_are_left_alone_for_a_while(day: BadDay) -> None:
    warm = filled(day)
    lacking = refused("InsufficientInstanceCapacity", "None.", "StartInstances")
    day.ec2.plan("start_instances", *[lacking] * 3)
    day.ec2.plan("create_fleet", refused("InsufficientInstanceCapacity"))

    for _ in range(14):
        assert day.provider.launch(2) == []
        day.turn()
    assert len(day.ec2.requests("start_instances")) == 3

    day.turn(2)
    assert set(day.provider.launch(2)) == warm


def test_a_throttled_start_is_not_made_again_one_by_one(day: BadDay) -> None:
    filled(day)
    day.ec2.plan("start_instances", refused("RequestLimitExceeded", "No.", "StartInstances"))

    day.provider.launch(2)

    assert len(day.ec2.requests("start_instances")) == 1


def test_one_that_stopped_by_itself_and_never_came_to_work_is_not_started_again(
    day: BadDay,
) -> None:
    (silent,) = day.provider.launch(1)
    day.turn()
    day.account.ec2.stop_instances(InstanceIds=[silent])
    assert day.turn() == []

    day.provider.last_words([silent])
    launched = day.provider.launch(1)
    day.turn()

    assert silent not in launched
    assert day.account.ids(*WARM) == set()


def test_stopped_ones_of_another_image_are_terminated_and_not_started(day: BadDay) -> None:
    old = filled(day)
    day.restart(warm_pool=2, image_id="ami-00000002")
    day.provider.list()

    assert not old & set(day.provider.launch(1))
    day.turn()

    assert day.account.ids(*WARM) == set()


def test_a_running_one_of_another_image_is_not_kept(day: BadDay) -> None:
    day.provider.launch(1)
    day.restart(warm_pool=2, image_id="ami-00000002")

    day.provider.retire([each.id for each in day.turn()])

    assert day.account.ids("running", *WARM) == set()


def test_a_pool_that_another_scaler_emptied_meanwhile_is_filled_again(day: BadDay) -> None:
    warm = filled(day)
    day.turn(200)
    other = day.account.open(ec2=day.ec2.client, warm_pool=2)
    assert set(other.launch(2)) == warm

    workers = [each.id for each in day.turn(3600)]
    day.provider.retire(workers)

    assert day.account.ids(*WARM) == set(workers) == warm


def test_an_idle_pool_costs_no_calls_but_the_look(day: BadDay) -> None:
    filled(day)
    day.ec2.calls.clear()

    for _ in range(30):
        day.turn(60)

    assert len(day.ec2.requests("describe_instances")) == 30
    assert len(day.ec2.calls) <= 30 + 3


def test_one_that_may_have_been_started_counts_until_it_is_known(day: BadDay) -> None:
    filled(day)
    bad = refused("IncorrectInstanceState", "Not now.", "StartInstances")
    day.ec2.plan("start_instances", bad, failed_after, lost_before)

    assert len(day.provider.launch(2)) == 2

    assert len(day.ec2.requests("create_fleet")) == 1  # of those in the pool, long ago
    assert len(day.turn()) == 2
    assert len(day.turn(30)) == 1
