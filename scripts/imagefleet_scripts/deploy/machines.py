"""The instances of a system: those that the scaler launched, and the web host."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from imagefleet_core.errors import ImagefleetError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import InstanceStateNameType

# Set by the scaler in the call that launches, and by the web host's launch template.
WORKER_TAG, HOST_TAG = "imagefleet:fleet", "imagefleet:host"
# All but those that cost nothing any more.
_THERE: Sequence[InstanceStateNameType] = (
    "pending",
    "running",
    "stopping",
    "stopped",
    "shutting-down",
)
_AT_ONCE = 100
POLL_S = 3.0
# A shutdown takes a minute or two; a worker that drains half a minute of that.
GONE_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance."""

    id: str
    state: str
    type: str
    zone: str
    launched_at: datetime


def machines(ec2: EC2Client, tag: str, prefix: str) -> list[Machine]:
    """Return the instances that carry a tag of this system, oldest first."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{tag}", "Values": [prefix]},
            {"Name": "instance-state-name", "Values": list(_THERE)},
        ]
    )
    found = [
        Machine(
            each["InstanceId"],
            each["State"]["Name"],
            each["InstanceType"],
            each.get("Placement", {}).get("AvailabilityZone", ""),
            each["LaunchTime"],
        )
        for page in pages
        for reservation in page["Reservations"]
        for each in reservation["Instances"]
    ]
    return sorted(found, key=lambda machine: machine.launched_at)


def end_all(
    ec2: EC2Client,
    tag: str,
    prefix: str,
    say: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Terminate all instances with a tag and wait until they are gone; return how many there were.

    What comes up meanwhile, as EC2 may tell of a launch late, is terminated too.
    """
    ended: set[str] = set()
    deadline = clock() + GONE_WITHIN_S
    while left := machines(ec2, tag, prefix):
        new = [each.id for each in left if each.id not in ended and each.state != "shutting-down"]
        for start in range(0, len(new), _AT_ONCE):
            ec2.terminate_instances(InstanceIds=new[start : start + _AT_ONCE])
        if new:
            say(f"  terminating {', '.join(new)}")
        ended.update(each.id for each in left)
        if clock() >= deadline:
            raise ImagefleetError(
                f"{', '.join(each.id for each in left)} are still not gone after "
                f"{GONE_WITHIN_S / 60:.0f} minutes: look at them in EC2, then do this again"
            )
        sleep(POLL_S)
    return len(ended)
