"""AWS accounts for tests of the EC2 provider: moto's in this process, or an emulator's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from clock import Clock
from ec2_faults import FaultyEc2
from imagefleet_core.aws import Aws
from imagefleet_scaler.providers.base import Instance
from imagefleet_scaler.providers.ec2.provider import Ec2Provider
from imagefleet_scaler.providers.ec2.spec import Ec2Spec
from imagefleet_scaler.providers.journal import Journal, MemoryJournal

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

REGION = "us-east-1"
TEMPLATE = "worker"
IMAGE = "ami-12c6146b"
SPEC = Ec2Spec(fleet="test", template=TEMPLATE)


def fast_clock() -> float:
    """Return seconds of which a hundred pass in one."""
    return 100 * time.monotonic()


@dataclass
class Account:
    """An account with a launch template.

    Attributes:
        ec2: what tests look with; nobody counts its calls.
        client: makes the client of each provider.
        journals: one for each fleet, which outlives its providers.
    """

    ec2: EC2Client
    client: Callable[[], EC2Client]
    spec: Ec2Spec = SPEC
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = fast_clock
    journals: dict[str, Journal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ec2.create_launch_template(
            LaunchTemplateName=TEMPLATE,
            LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "c7i.large"},
        )

    def renew_template(self) -> None:
        """Give the launch template one version more."""
        self.ec2.create_launch_template_version(
            LaunchTemplateName=TEMPLATE,
            LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "c6i.large"},
        )

    def open(
        self,
        fleet: str = "test",
        *,
        ec2: EC2Client | None = None,
        retire_grace_s: float = 60,
        **changes: Any,
    ) -> Ec2Provider:
        """Return a provider, as another scaler would have one."""
        return Ec2Provider(
            ec2 or self.client(),
            replace(self.spec, fleet=fleet, **changes),
            journal=self.journals.setdefault(fleet, MemoryJournal()),
            retire_grace_s=retire_grace_s,
            now=self.now,
            clock=self.clock,
        )

    def kill(self, worker: str) -> None:
        """End an instance from outside."""
        self.ec2.terminate_instances(InstanceIds=[worker])

    def instances(self, *states: str) -> list[InstanceTypeDef]:
        """Return all instances in these states, running ones unless given."""
        pages = self.ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": "instance-state-name", "Values": list(states or ("pending", "running"))}
            ]
        )
        return [
            each for page in pages for group in page["Reservations"] for each in group["Instances"]
        ]

    def ids(self, *states: str) -> set[str]:
        """Return the ids of all instances in these states."""
        return {each["InstanceId"] for each in self.instances(*states)}


@contextmanager
def on_moto(**settings: Any) -> Iterator[Account]:
    """An account that moto plays, empty but for the launch template."""
    # A thousand images that nobody launches take moto half a second.
    with patch.dict(os.environ, MOTO_EC2_LOAD_DEFAULT_AMIS="false"), mock_aws():
        ec2 = _client()
        yield Account(ec2, lambda: ec2, **settings)


@cache
def _client() -> EC2Client:
    """Return one client for all of moto's accounts, as making it takes a second."""
    return Aws(boto3.Session("test", "test", region_name=REGION)).ec2()


@contextmanager
def on_emulator(environment: Mapping[str, str], **settings: Any) -> Iterator[Account]:
    """An account of an emulator, which others may use too.

    Args:
        environment: boto3's variables, which say where it is.
    """
    session = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    ec2 = session.client("ec2", endpoint_url=environment["AWS_ENDPOINT_URL"])
    try:
        yield Account(ec2, lambda: ec2, **settings)
    finally:
        ec2.delete_launch_template(LaunchTemplateName=TEMPLATE)
        ec2.close()


def stopped_clock(**settings: Any) -> tuple[Clock, dict[str, Any]]:
    """Return a clock that tests move, and what makes an account use it for both of its clocks."""
    clock = Clock()
    return clock, {"now": clock, "clock": clock, **settings}


@dataclass
class BadDay:
    """An account, EC2 in front of it as it is on a bad day, and the clock of both.

    Attributes:
        provider: the scaler's; `restart` replaces it.
    """

    account: Account
    ec2: FaultyEc2
    clock: Clock
    provider: Ec2Provider

    def restart(self, **changes: Any) -> Ec2Provider:
        """Kill the scaler and start another one, which finds what EC2 and the journal tell."""
        self.provider = self.account.open(ec2=self.ec2.client, **changes)
        return self.provider

    def turn(self, after_s: float = 2) -> list[Instance]:
        """Take a turn as the loop does, and return what is listed."""
        self.clock.now += after_s
        self.provider.sweep()
        return list(self.provider.list())

    def listed(self) -> set[str]:
        """Return the ids that a turn lists."""
        return {each.id for each in self.turn()}


@contextmanager
def bad_day(**changes: Any) -> Iterator[BadDay]:
    """EC2 on a bad day; the provider is opened with `changes` of its spec."""
    clock, clocks = stopped_clock()
    with on_moto(**clocks) as account:
        ec2 = FaultyEc2(account.ec2)
        yield BadDay(account, ec2, clock, account.open(ec2=ec2.client, **changes))
