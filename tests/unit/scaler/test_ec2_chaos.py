"""A scaler over EC2 on its worst days, turn by turn: never too many, nobody left behind."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from clock import Clock
from ec2_faults import (
    Fault,
    FaultyEc2,
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
from imagefleet_core.errors import ImagefleetError
from imagefleet_scaler.providers.base import InstanceState
from imagefleet_scaler.providers.ec2.ledger import MISSED_S
from imagefleet_scaler.providers.ec2.provider import Ec2Provider
from imagefleet_scaler.providers.ec2.spec import Ec2Spec
from imagefleet_scaler.providers.journal import MemoryJournal
from memory_ec2 import MemoryEc2

ANY_CALL: list[Fault] = [
    killed_before,
    killed_after,
    lost_before,
    lost_after,
    failed_after,
    unreachable,
    unreachable_after,
    cut_off_after,
]
FAULTS: dict[str, list[Fault]] = {
    "create_fleet": [
        *ANY_CALL,
        refused("RequestLimitExceeded"),
        refused("VcpuLimitExceeded"),
        refused("UnauthorizedOperation"),
        only(1, "InsufficientInstanceCapacity"),
        only(0, "MaxSpotInstanceCountExceeded"),
        only(1, "VcpuLimitExceeded"),
    ],
    "terminate_instances": [*ANY_CALL, refused("RequestLimitExceeded")],
    "stop_instances": [*ANY_CALL, refused("UnsupportedOperation")],
    "start_instances": [*ANY_CALL, refused("InsufficientInstanceCapacity")],
    "describe_instances": [
        refused("RequestLimitExceeded"),
        lost_before,
        unreachable,
        killed_before,
    ],
    "describe_launch_templates": [refused("RequestLimitExceeded")],
}
MOST = 6


class Days:
    """One run: a policy that wants a number of workers, over an EC2 that goes wrong."""

    def __init__(self, seed: int, journal: MemoryJournal | None = None) -> None:
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.account = MemoryEc2(self.clock)
        self.ec2 = FaultyEc2(self.account.client)
        self.journal = journal or MemoryJournal()
        self.spec = Ec2Spec(
            fleet="test",
            template="worker",
            spot_percent=self.chance.choice([0, 50, 100]),
            warm_pool=self.chance.choice([0, 2]),
        )
        self.wanted = MOST
        self.churn = 0.2
        self.provider = self.restarted()

    def restarted(self) -> Ec2Provider:
        return Ec2Provider(
            self.ec2.client,
            self.spec,
            journal=self.journal,
            retire_grace_s=10,
            now=self.clock,
            clock=self.clock,
        )

    def go_wrong(self) -> None:
        """Plan a fault or two, and have the next look miss those that began just now."""
        for operation, faults in FAULTS.items():
            if self.chance.random() < 0.15:
                self.ec2.plan(operation, self.chance.choice(faults))
        young = {
            each
            for each, instance in self.account.instances.items()
            if self.clock.now - instance["LaunchTime"].timestamp() < MISSED_S
        }
        self.ec2.hidden = {each for each in sorted(young) if self.chance.random() < 0.7}

    def turn(self, *, wrong: bool = False) -> None:
        self.clock.now += self.chance.choice([0.5, 2, 2, 2, 5])
        if wrong:
            self.go_wrong()
        try:
            with suppress(ImagefleetError):
                self.act()
        except Killed:
            self.provider = self.restarted()

    def act(self) -> None:
        self.provider.sweep()
        there = [each for each in self.provider.list() if each.state is InstanceState.RUNNING]
        if len(there) < self.wanted:
            self.provider.launch(self.wanted - len(there))
        elif len(there) > self.wanted:
            self.provider.retire([each.id for each in there[self.wanted :]])
        elif there and self.chance.random() < self.churn:
            self.provider.retire({self.chance.choice(there).id for _ in range(3)})


@pytest.mark.parametrize("seed", range(60))
def test_there_are_never_more_than_wanted_and_in_the_end_nobody(seed: int) -> None:
    days = Days(seed)

    for _ in range(150):
        days.turn(wrong=True)
        assert len(days.account.ids()) <= MOST
        if days.chance.random() < 0.05:
            days.provider = days.restarted()

    # The weather clears up.
    days.ec2, days.churn = FaultyEc2(days.account.client), 0
    days.provider = days.restarted()
    for _ in range(100):
        days.turn()
    assert len(days.account.ids()) == MOST

    days.wanted = 0
    for _ in range(100):
        days.turn()
    assert days.account.ids("pending", "running", "stopping", "shutting-down") == set()
    assert len(days.account.ids("stopped")) <= days.spec.warm_pool
    assert days.provider.list() == []


class Forgetful(MemoryJournal):
    def read(self) -> str:
        return ""


def test_the_weather_is_bad_enough_to_need_the_journal() -> None:
    too_many = 0

    for seed in range(20):
        days = Days(seed, Forgetful())
        for _ in range(150):
            days.turn(wrong=True)
            too_many += len(days.account.ids()) > MOST

    assert too_many
