"""Launches whose outcome is unknown, and scalers that die in the middle: nothing twice or lost."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from structlog.typing import EventDict

from ec2_account import BadDay, bad_day
from ec2_faults import (
    Fault,
    Killed,
    cut_off_after,
    failed_after,
    killed_after,
    killed_before,
    lost_after,
    lost_before,
    only,
    refused,
    unreachable,
    unreachable_after,
)
from imagefleet_core.errors import Unavailable
from imagefleet_scaler.providers.base import Instance, InstanceState, ProviderError
from imagefleet_scaler.providers.ec2 import orders
from imagefleet_scaler.providers.journal import MemoryJournal

UNKNOWN = [
    pytest.param(lost_before, id="never arrived"),
    pytest.param(lost_after, id="answer lost"),
    pytest.param(failed_after, id="500 after all"),
    pytest.param(unreachable, id="nobody reached"),
    pytest.param(unreachable_after, id="answer lost, and nobody reached again"),
    pytest.param(cut_off_after, id="answer cut off"),
    pytest.param(refused("Unavailable"), id="503"),
]


def running(instances: list[Instance]) -> int:
    return sum(each.state is InstanceState.RUNNING for each in instances)


@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_launch_of_unknown_outcome_counts_and_is_repeated_as_it_was(
    day: BadDay, fault: Fault
) -> None:
    day.ec2.plan("create_fleet", fault)

    assert day.provider.launch(3) == []
    assert running(list(day.provider.list())) == 3

    instances = day.turn()
    assert {each.id for each in instances} == day.account.ids()
    assert len(instances) == 3
    assert not any(each.expected for each in instances)
    assert len({each["ClientToken"] for each in day.ec2.requests("create_fleet")}) == 1


def test_nothing_else_is_launched_while_an_outcome_is_unknown(day: BadDay) -> None:
    day.ec2.plan("create_fleet", lost_before, lost_before)

    day.provider.launch(3)
    for _ in range(2):
        assert running(day.turn()) == 3
        assert day.provider.launch(2) == []

    tokens = {each["ClientToken"] for each in day.ec2.requests("create_fleet")}
    assert len(tokens) == 1
    day.turn(after_s=60)
    assert len(day.account.ids()) == 3
    assert len(day.provider.launch(2)) == 2


def test_an_unknown_launch_counts_for_two_minutes_and_is_repeated_when_needed_again(
    day: BadDay,
) -> None:
    day.ec2.plan("create_fleet", *[lost_before] * 20)
    day.provider.launch(3)

    for _ in range(11):
        assert running(day.turn(after_s=10)) == 3
    assert running(day.turn(after_s=15)) == 0
    repeated = len(day.ec2.requests("create_fleet"))
    assert day.turn(after_s=60) == []
    assert len(day.ec2.requests("create_fleet")) == repeated
    assert repeated < 10

    day.provider.launch(3)

    assert len({each["ClientToken"] for each in day.ec2.requests("create_fleet")}) == 1


def test_after_an_outage_the_first_turn_launches(day: BadDay, logged: list[EventDict]) -> None:
    day.ec2.plan("create_fleet", unreachable)
    assert day.provider.launch(3) == []
    for _ in range(300):
        day.ec2.plan("describe_instances", unreachable)
        with pytest.raises(ProviderError, match="listing the workers: nothing answers at https"):
            day.turn()

    assert day.turn() == []
    launched = day.provider.launch(3)

    assert len(launched) == 3
    assert set(launched) == day.account.ids() == day.listed()
    assert len({each["ClientToken"] for each in day.ec2.requests("create_fleet")}) == 1
    said = [entry["reason"] for entry in logged if entry["log_level"] == "warning"]
    assert said == ["nothing answers at https://ec2"]


def test_a_short_outage_delays_nothing_once_it_is_over(day: BadDay) -> None:
    day.ec2.plan("create_fleet", unreachable)
    day.provider.launch(3)
    for _ in range(20):
        day.ec2.plan("describe_instances", unreachable)
        with pytest.raises(ProviderError):
            day.turn()

    assert {each.id for each in day.turn()} == day.account.ids()
    assert len(day.account.ids()) == 3


def test_after_a_long_outage_no_more_are_launched_than_are_wanted_by_then(day: BadDay) -> None:
    day.ec2.plan("create_fleet", unreachable)
    day.provider.launch(50)

    day.turn(after_s=200)
    assert len(day.provider.launch(2)) == 2

    assert len(day.account.ids()) == 2


def test_a_repeated_launch_that_is_refused_after_all_no_longer_counts(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.ec2.plan("create_fleet", lost_before, only(1, "InsufficientInstanceCapacity"))

    day.provider.launch(3)

    assert running(day.turn()) == 1
    assert [entry["missing"] for entry in logged if "missing" in entry] == [2]


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "UnauthorizedOperation"])
def test_a_repetition_that_is_refused_at_the_door_tells_nothing(day: BadDay, code: str) -> None:
    day.ec2.plan("create_fleet", lost_after, refused(code))
    day.provider.launch(2)
    day.ec2.hidden = day.account.ids()

    assert running(day.turn()) == 2
    assert running(day.turn(after_s=6)) == 2
    day.ec2.hidden = set()

    assert day.listed() == day.account.ids()
    assert len(day.account.ids()) == 2


@pytest.mark.parametrize("code", ["IdempotentParameterMismatch", "IdempotentInstanceTerminated"])
def test_a_launch_that_was_carried_out_is_not_made_again(day: BadDay, code: str) -> None:
    day.ec2.plan("create_fleet", lost_after, refused(code))
    day.provider.launch(2)
    hidden = day.account.ids()
    day.ec2.hidden = set(hidden)

    assert running(day.turn()) == 2
    assert running(day.turn()) == 2
    day.ec2.hidden = set()
    instances = day.turn()

    assert {each.id for each in instances} == hidden
    assert len(day.ec2.requests("create_fleet")) == 2


def noted(**changes: object) -> str:
    """Return a journal with an order that is wrong somewhere."""
    order = {
        "call": "create_fleet",
        "request": {"ClientToken": "t"},
        "token": "t",
        "count": 1,
        "at": 1_700_000_000,
        "ids": None,
    }
    return json.dumps({"v": 1, "orders": [{**order, **changes}]})


STEPS = [
    pytest.param(killed_before, id="before the call"),
    pytest.param(killed_after, id="after the call"),
    pytest.param(lost_after, id="answer lost"),
    pytest.param(None, id="after the answer"),
]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("by_run", [False, True])
def test_the_next_scaler_counts_what_the_last_one_launched(
    step: Fault | None, hidden: bool, by_run: bool
) -> None:
    with bad_day(by_run=by_run, image_id="ami-12c6146b") as day:
        if step:
            day.ec2.plan("run_instances" if by_run else "create_fleet", step)
        with suppress(Killed):
            day.provider.launch(1)
        if hidden:
            day.ec2.hidden = day.account.ids()

        day.restart(by_run=by_run, image_id="ami-12c6146b")
        assert running(list(day.provider.list())) == 1
        assert running(day.turn()) == 1
        day.ec2.hidden = set()

        assert running(day.turn()) == 1
        assert day.listed() == day.account.ids()
        assert len(day.account.ids()) == 1


def test_a_launch_seen_by_its_tag_is_not_made_again_even_where_tokens_are_overlooked(
    day: BadDay,
) -> None:
    day.ec2.plan("create_fleet", killed_after)
    with suppress(Killed):
        day.provider.launch(3)

    day.restart()
    instances = day.turn()

    assert {each.id for each in instances} == day.account.ids()
    assert len(day.ec2.requests("create_fleet")) == 1


def test_each_call_of_a_launch_is_known_to_the_next_scaler() -> None:
    with bad_day(spot_percent=100) as day:
        day.ec2.plan("create_fleet", only(2, "MaxSpotInstanceCountExceeded"), killed_after)
        with suppress(Killed):
            day.provider.launch(5)
        day.ec2.hidden = day.account.ids()
        assert len(day.ec2.hidden) == 5

        day.restart()

        assert running(list(day.provider.list())) == 5
        day.ec2.hidden = set()
        assert day.listed() == day.account.ids()


def test_another_scaler_that_launched_meanwhile_is_heeded(day: BadDay) -> None:
    first = day.provider
    assert first.list() == []
    second = day.account.open(ec2=day.ec2.client)
    launched = second.launch(2)
    day.ec2.hidden = day.account.ids()

    assert first.launch(2) == []

    assert {each.id for each in first.list()} == set(launched)
    assert len(first.launch(1)) == 1


@pytest.mark.parametrize(
    ("later_s", "counts"), [(-3600, 1), (-5, 1), (0, 1), (60, 1), (121, 0), (86_400, 0)]
)
def test_the_clock_of_the_next_scaler_may_be_another(
    day: BadDay, later_s: float, counts: int
) -> None:
    day.ec2.plan("create_fleet", killed_before, *[lost_before] * 99)
    with suppress(Killed):
        day.provider.launch(1)
    day.clock.now += later_s

    day.restart()

    assert running(list(day.provider.list())) == counts
    assert running(day.turn(after_s=121)) == 0


def test_a_clock_that_jumps_makes_nobody_older_or_gone() -> None:
    with bad_day() as day:
        launched = day.provider.launch(2)
        day.provider.list()
        before = day.clock.now

        # The wall clock jumps; what measures time goes on.
        for jump in (86_400, -86_400):
            day.account.now = lambda jump=jump: before + jump  # type: ignore[misc]
            assert {each.id for each in day.turn()} == set(launched)


class BrokenJournal(MemoryJournal):
    def write(self, text: str) -> None:
        raise Unavailable("S3 is away")


def test_a_journal_that_cannot_be_written_keeps_nobody_from_launching(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.account.journals["test"] = BrokenJournal()
    day.restart()

    assert len(day.provider.launch(2)) == 2
    assert len(day.provider.launch(1)) == 1

    said = [entry for entry in logged if "noted" in entry["event"]]
    assert [entry["reason"] for entry in said] == ["S3 is away"]


def test_a_journal_that_cannot_be_read_fails_the_turn_and_nothing_is_launched(
    day: BadDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(journal: MemoryJournal) -> str:
        raise Unavailable("S3 is away")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryJournal, "read", away)
        with pytest.raises(Unavailable):
            day.provider.launch(1)
        with pytest.raises(Unavailable):
            day.provider.list()

    assert len(day.provider.launch(1)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "{}",
        "[]",
        "null",
        '{"v":1}',
        "x" * 200_000,
        "[" * 90_000,
        '{"v":2,"orders":[]}',
        '{"v":1,"orders":{"call":1}}',
        '{"v":1,"orders":[null, 1, "x", {}]}',
        noted(call="terminate_instances"),
        noted(at=float("nan")),
        noted(at=None),
        noted(count=float("inf")),
        noted(count=0),
        noted(token="another"),
        noted(ids=7),
        noted(request=[1]),
    ],
)
def test_a_journal_that_says_nothing_sensible_is_empty(day: BadDay, text: str) -> None:
    day.account.journals["test"].write(text)

    day.restart()

    assert orders.decode(text) == []
    assert len(day.provider.launch(1)) == 1


def test_an_order_is_read_as_it_was_written(day: BadDay) -> None:
    day.provider.launch(2)

    (order,) = orders.decode(day.account.journals["test"].read())

    assert set(order.ids or ()) == day.account.ids()
    assert orders.decode(orders.encode([order])) == [order]
    pending = replace(order, ids=None, request=day.ec2.requests("create_fleet")[0])
    assert orders.decode(orders.encode([order, pending])) == [order, pending]
