"""The fleet of EC2 instances as it is listed, retired and swept, though EC2's answers lag."""

from collections.abc import Iterator

import pytest
from structlog.typing import EventDict

from ec2_account import BadDay, bad_day
from ec2_faults import (
    Call,
    Fault,
    FaultyEc2,
    Killed,
    client_error,
    killed_after,
    killed_before,
    lost_after,
    refused,
)
from imagefleet_scaler.providers.base import InstanceState, ProviderError
from memory_ec2 import MemoryEc2

RUNNING, STOPPING = InstanceState.RUNNING, InstanceState.STOPPING


def states(day: BadDay, after_s: float = 2) -> dict[str, InstanceState]:
    return {each.id: each.state for each in day.turn(after_s)}


def ends_nobody(call: Call, request: object) -> object:
    """Accept a termination, and forget it."""
    return {"TerminatingInstances": []}


def test_a_launched_instance_counts_until_it_is_described(day: BadDay) -> None:
    (worker,) = day.provider.launch(1)
    day.ec2.hidden = {worker}

    for _ in range(11):
        assert states(day, 10) == {worker: RUNNING}
    day.ec2.hidden = set()

    assert states(day, 60) == {worker: RUNNING}


def test_a_launched_instance_that_is_never_described_is_given_up_after_two_minutes(
    day: BadDay,
) -> None:
    (worker,) = day.provider.launch(1)
    day.account.kill(worker)

    assert states(day, 119) == {worker: RUNNING}
    assert states(day, 2) == {}


def test_one_look_that_misses_an_instance_tells_nothing(day: BadDay) -> None:
    (worker,) = day.provider.launch(1)
    day.turn()

    for _ in range(5):
        day.ec2.hidden = {worker}
        assert states(day, 60) == {worker: RUNNING}
        assert states(day, 4) == {worker: RUNNING}
        day.ec2.hidden = set()
        assert states(day) == {worker: RUNNING}


def test_after_standing_by_for_an_hour_those_that_are_gone_are_not_listed(day: BadDay) -> None:
    gone, going, there, launched = day.provider.launch(4)
    day.ec2.hidden = {launched}
    day.turn()
    day.provider.retire([going])
    for each in (gone, going, launched):
        day.account.kill(each)

    assert states(day, 3600) == {there: RUNNING}


def test_an_instance_that_two_looks_miss_is_gone_and_may_come_back(day: BadDay) -> None:
    missed, there = day.provider.launch(2)
    day.turn()
    day.ec2.hidden = {missed}

    day.turn()
    assert states(day, 5) == {there: RUNNING}

    day.ec2.hidden = set()
    assert states(day) == {missed: RUNNING, there: RUNNING}


def test_a_retired_instance_is_going_whatever_is_still_described(day: BadDay) -> None:
    going, staying = day.provider.launch(2)
    day.turn()
    day.ec2.plan("terminate_instances", ends_nobody)

    day.provider.retire([going])

    assert states(day) == {going: STOPPING, staying: RUNNING}
    day.account.kill(going)
    day.turn()
    assert states(day, 5) == {staying: RUNNING}


def test_an_instance_that_ends_by_itself_is_going_and_then_gone_at_once(day: BadDay) -> None:
    (worker,) = day.provider.launch(1)
    day.ec2.stale = {worker: "shutting-down"}
    assert states(day) == {worker: STOPPING}

    day.account.kill(worker)

    assert states(day) == {}


def test_what_does_not_go_is_terminated_again_until_it_does(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.restart(retire_grace_s=30)
    (worker,) = day.provider.launch(1)
    day.turn()
    day.ec2.plan("terminate_instances", ends_nobody, ends_nobody)

    day.provider.retire([worker])
    assert states(day, 88) == {worker: STOPPING}
    assert day.account.ids() == {worker}
    assert states(day, 2) == {worker: STOPPING}
    assert states(day, 80) == {worker: STOPPING}
    assert day.account.ids() == {worker}
    day.turn(10)

    assert day.account.ids() == set()
    assert [entry["workers"] for entry in logged if "workers" in entry] == [[worker]] * 2


def test_an_id_that_ec2_does_not_know_keeps_nobody_from_going(day: BadDay) -> None:
    workers = day.provider.launch(3)
    day.turn()
    said = f"The instance IDs '{workers[0]}, {workers[2]}' do not exist"
    gone = refused("InvalidInstanceID.NotFound", said, "TerminateInstances")
    day.ec2.plan("terminate_instances", gone)

    day.provider.retire([*workers, "worker-nobody", "i-0123456789abcdef0"])

    assert workers[1] not in day.account.ids()
    # EC2 does know them after all.
    assert states(day)[workers[0]] is RUNNING
    day.provider.retire(workers)
    assert day.account.ids() == set()


def test_nobody_elses_instance_is_ever_ended(day: BadDay) -> None:
    (theirs,) = day.account.open("other", ec2=day.ec2.client).launch(1)
    (ours,) = day.provider.launch(1)

    day.provider.retire([theirs, ours])
    day.restart().retire([theirs, ours])

    assert day.account.ids() == {theirs}


def test_many_are_retired_in_hundreds(day: BadDay) -> None:
    memory = MemoryEc2(day.clock)
    ec2 = FaultyEc2(memory.client)
    provider = day.account.open(ec2=ec2.client)
    workers = provider.launch(230)

    provider.retire(workers)

    sizes = [len(each["InstanceIds"]) for each in ec2.requests("terminate_instances")]
    assert sizes == [100, 100, 30]
    assert memory.ids() == set()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("UnauthorizedOperation", "do not permit ec2:TerminateInstances"),
        ("OperationNotPermitted", "switch off the termination protection"),
        ("RequestLimitExceeded", "AWS takes no more calls of TerminateInstances"),
    ],
)
def test_a_retirement_that_is_refused_is_one_clear_sentence(
    day: BadDay, code: str, told: str
) -> None:
    (worker,) = day.provider.launch(1)
    day.ec2.plan("terminate_instances", refused(code, "No.", "TerminateInstances"))

    with pytest.raises(ProviderError, match=told):
        day.provider.retire([worker])

    assert states(day) == {worker: RUNNING}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("UnauthorizedOperation", "do not permit ec2:DescribeInstances"),
        ("RequestLimitExceeded", "AWS takes no more calls of DescribeInstances"),
        ("AuthFailure", "AWS does not know these credentials"),
        ("InternalError", "DescribeInstances answered InternalError"),
    ],
)
def test_a_look_that_fails_is_one_clear_sentence(day: BadDay, code: str, told: str) -> None:
    for verb in (day.provider.list, day.provider.sweep):
        day.ec2.plan("describe_instances", refused(code, "No.", "DescribeInstances"))
        with pytest.raises(ProviderError, match=f"listing the workers: .*{told}"):
            verb()


@pytest.mark.parametrize("fault", [killed_before, killed_after, lost_after])
def test_a_scaler_that_dies_while_it_retires_leaves_nobody_behind(
    day: BadDay, fault: Fault
) -> None:
    workers = day.provider.launch(3)
    day.turn()
    day.ec2.plan("terminate_instances", fault)
    with pytest.raises((Killed, ProviderError)):
        day.provider.retire(workers)

    day.restart()
    # The policy retires whoever is still there.
    day.provider.retire([each.id for each in day.turn() if each.state is RUNNING])
    day.turn()
    # Until then the journal's word counts: they were launched a moment ago.
    day.turn(10)

    assert day.account.ids() == set()
    assert states(day) == {}


def test_instances_of_an_older_template_are_outdated(day: BadDay) -> None:
    (old,) = day.provider.launch(1)
    assert [each.outdated for each in day.turn()] == [False]

    day.account.renew_template()
    day.clock.now += 60
    (new,) = day.provider.launch(1)

    assert {each.id: each.outdated for each in day.turn()} == {old: True, new: False}
    assert {each.id: each.outdated for each in day.restart().list()} == {old: True, new: False}


@pytest.mark.parametrize("by_run", [False, True])
def test_instances_of_another_image_than_the_one_that_is_named_are_outdated(by_run: bool) -> None:
    first, second = "ami-00000001", "ami-00000002"
    with bad_day(by_run=by_run, image_id=first) as day:
        (old,) = day.provider.launch(1)
        assert [each.outdated for each in day.turn()] == [False]

        day.restart(by_run=by_run, image_id=second)
        day.turn()
        (new,) = day.provider.launch(1)
        assert {each.id: each.outdated for each in day.turn()} == {old: True, new: False}

        # The template's own is whatever it says; its version tells.
        day.restart(by_run=by_run)
        assert not any(each.outdated for each in day.turn())


def test_a_template_that_cannot_be_looked_at_outdates_nobody(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.provider.launch(1)
    day.restart()
    forbidden = refused("UnauthorizedOperation", "No.", "DescribeLaunchTemplates")
    day.ec2.plan("describe_launch_templates", forbidden, forbidden)

    for _ in range(60):
        assert [each.outdated for each in day.turn()] == [False]

    assert len(day.ec2.requests("describe_launch_templates")) == 3
    assert len([entry for entry in logged if entry["log_level"] == "warning"]) == 1


def test_a_turn_looks_once_and_an_idle_one_asks_nothing_more(day: BadDay) -> None:
    day.turn()
    day.turn()
    assert [name for name, _ in day.ec2.calls] == ["describe_instances"] * 2

    (worker,) = day.provider.launch(1)
    day.ec2.calls.clear()
    for _ in range(30):
        day.turn()
    assert len(day.ec2.requests("describe_instances")) == 30
    assert len(day.ec2.requests("describe_launch_templates")) <= 1
    assert len(day.ec2.calls) <= 31

    day.provider.retire([worker])
    assert states(day, 2) == {worker: STOPPING}


def test_a_look_of_an_earlier_turn_serves_nobody(day: BadDay) -> None:
    (worker,) = day.provider.launch(1)
    day.turn()
    day.provider.sweep()
    day.clock.now += 3
    day.ec2.stale = {worker: "shutting-down"}

    assert [each.state for each in day.provider.list()] == [STOPPING]


def test_listing_changes_nothing() -> None:
    with bad_day(warm_pool=1) as day:
        day.provider.launch(2)
        day.ec2.calls.clear()

        day.provider.list()
        day.restart().list()

        assert {name.partition("_")[0] for name, _ in day.ec2.calls} == {"describe"}


def test_the_last_words_are_those_of_the_console(day: BadDay) -> None:
    spoken = "\x1b[31mno such image\x1b[0m\r\n" + "x" * 5000 + " out of film\x00\n"
    answers: Iterator[object] = iter(
        [
            client_error("UnsupportedOperation", "Not on Nitro", "GetConsoleOutput"),
            {"Output": spoken},
            {},
            client_error("InvalidInstanceID.NotFound", "Gone", "GetConsoleOutput"),
        ]
    )

    def answer(call: Call, request: object) -> object:
        each = next(answers)
        if isinstance(each, Exception):
            raise each
        return each

    day.ec2.plan("get_console_output", *[answer] * 4)
    workers = day.provider.launch(3)

    words = day.provider.last_words(workers)

    assert list(words) == [workers[0]]
    assert words[workers[0]].endswith("x out of film")
    assert len(words[workers[0]]) == 2000


def ended(day: BadDay, worker: str, code: str, message: str) -> None:
    """Have an instance end by itself, and be gone from the list."""
    day.account.kill(worker)
    day.ec2.reasons = {worker: (code, message)}
    day.turn()
    assert worker not in {each.id for each in day.turn(6)}


def console(text: str) -> Fault:
    return lambda call, request: {"Output": text}


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        ("Client.InternalError", "Client.InternalError: Client error on launch", ""),
        ("Client.VolumeLimitExceeded", "Volume limit exceeded", "Client.VolumeLimitExceeded: "),
        ("Client.InstanceInitiatedShutdown", "", "Client.InstanceInitiatedShutdown"),
    ],
)
def test_why_an_instance_ended_that_never_came_to_work_is_told_with_its_console(
    day: BadDay, code: str, message: str, told: str
) -> None:
    worker, other = day.provider.launch(2)
    day.turn()
    ended(day, worker, code, message)
    day.ec2.plan("get_console_output", console("no such image"))

    words = day.provider.last_words([worker])

    assert words == {worker: f"EC2 says: {told}{message}\nno such image"}
    assert other in day.listed()


def test_why_an_instance_ended_is_told_without_a_console_and_while_it_goes(day: BadDay) -> None:
    (worker,) = day.provider.launch(1)
    day.ec2.stale = {worker: "shutting-down"}
    day.ec2.reasons = {worker: ("Server.SpotInstanceTermination", "Spot interruption")}
    day.turn()
    day.ec2.plan("get_console_output", console(""))

    words = day.provider.last_words([worker])

    assert words == {worker: "EC2 says: Server.SpotInstanceTermination: Spot interruption"}


def test_a_long_console_leaves_room_for_the_reason(day: BadDay) -> None:
    (worker,) = day.provider.launch(1)
    day.turn()
    ended(day, worker, "Client.InternalError", "\x1b[31m" + "y" * 3000)
    day.ec2.plan("get_console_output", console("x" * 5000 + " out of film"))

    said = day.provider.last_words([worker])[worker]

    assert said.startswith("EC2 says: Client.InternalError: yyy")
    assert said.endswith("xxx out of film")
    assert len(said) == 2000


def test_of_instances_that_run_nobody_asks_why_they_ended(day: BadDay) -> None:
    workers = day.provider.launch(2)
    day.turn()
    day.ec2.calls.clear()

    day.provider.last_words(workers)

    assert day.ec2.requests("describe_instances") == []


def test_a_reason_that_cannot_be_had_is_no_error_and_nobody_elses_is_told(day: BadDay) -> None:
    (theirs,) = day.account.open("other", ec2=day.ec2.client).launch(1)
    (ours,) = day.provider.launch(1)
    day.turn()
    ended(day, ours, "Client.InternalError", "Client error on launch")
    for _ in range(2):
        day.ec2.plan("get_console_output", refused("UnauthorizedOperation"))
    day.ec2.plan("describe_instances", refused("RequestLimitExceeded"))

    assert day.provider.last_words([ours, theirs]) == {}
    assert theirs not in day.provider.last_words([ours, theirs, "launch-1-0"])

    day.turn(3601)
    day.turn()
    assert day.provider.last_words([ours]) == {}


def test_only_a_few_consoles_are_read_at_a_time(day: BadDay) -> None:
    workers = day.provider.launch(20)

    assert 0 < len(day.provider.last_words(workers)) <= 5
    assert len(day.ec2.requests("get_console_output")) == 5
