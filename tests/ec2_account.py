"""AWS accounts for tests of the EC2 provider: moto's in this process, or an emulator's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import boto3
from moto import mock_aws

from clock import Clock
from imagefleet_core.aws import Aws
from imagefleet_scaler.providers.ec2.provider import Ec2Provider
from imagefleet_scaler.providers.ec2.spec import Ec2Spec
from imagefleet_scaler.providers.journal import MemoryJournal

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

REGION = "us-east-1"
TEMPLATE = "worker"
IMAGE = "ami-12c6146b"  # one that moto has
SPEC = Ec2Spec(fleet="test", template=TEMPLATE)


def fast_clock() -> float:
    """Return seconds of which twenty pass in one."""
    return 20 * time.monotonic()


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
    journals: dict[str, MemoryJournal] = field(default_factory=dict)

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
    with mock_aws():
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        aws = Aws(boto3.Session(region_name=REGION, **keys))
        ec2 = aws.ec2()
        yield Account(ec2, lambda: ec2, **settings)


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
