"""What EC2 says of a fleet's instances."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imagefleet_scaler.providers.ec2 import tags

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

PENDING = "pending"
RUNNING = "running"
STOPPING = "stopping"
STOPPED = "stopped"
SHUTTING_DOWN = "shutting-down"
# Those that are terminated stay described for an hour, and are of no use to anybody.
STATES = [PENDING, RUNNING, STOPPING, STOPPED, SHUTTING_DOWN]
GOING = {STOPPING, SHUTTING_DOWN}

PAGE = 1000

# "User initiated (2026-11-26 06:16:26 GMT)"
_SINCE = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance as it was described; times in Unix seconds, by AWS's clock.

    Attributes:
        state: one of `STATES`.
        launched_at: when it was last started.
        token: of the call that launched it; empty if unknown.
        version: of the launch template; 0 if unknown.
        ebs: whether its disk outlives a stop.
        changed_at: when it was last told to stop or start, where EC2 says.
        image: the AMI that it was launched from; empty if unknown.
    """

    id: str
    state: str
    launched_at: float
    token: str
    version: int
    spot: bool
    ebs: bool
    changed_at: float | None
    image: str = ""


def describe(ec2: EC2Client, fleet: str) -> list[Machine]:
    """Return the instances of a fleet, in one call for each thousand; raises boto3's errors."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{tags.FLEET}", "Values": [fleet]},
            {"Name": "instance-state-name", "Values": STATES},
        ],
        PaginationConfig={"PageSize": PAGE},
    )
    return [_machine(each) for page in pages for each in instances(page)]


def instances(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the instances on a page of an answer."""
    for reservation in page.get("Reservations", ()):
        yield from reservation.get("Instances", ())


def _machine(described: Mapping[str, Any]) -> Machine:
    marks = tags.read(described.get("Tags", ()))
    version = marks.get(tags.TEMPLATE, "")
    return Machine(
        id=described["InstanceId"],
        state=described["State"]["Name"],
        launched_at=described["LaunchTime"].timestamp(),
        token=marks.get(tags.LAUNCH, ""),
        version=int(version) if re.fullmatch(r"\d{1,9}", version) else 0,
        spot=described.get("InstanceLifecycle") == "spot",
        ebs=described.get("RootDeviceType") == "ebs",
        changed_at=_changed_at(described.get("StateTransitionReason", "")),
        image=described.get("ImageId", ""),
    )


def _changed_at(reason: str) -> float | None:
    if not (found := _SINCE.search(reason)):
        return None
    try:
        return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
