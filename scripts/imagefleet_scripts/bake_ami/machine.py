"""The instance that an image is made of: launched, watched until it powers off, and ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import error_code, explain
from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.bake_ami.interrupts import interruptible, uninterrupted
from imagefleet_scripts.bake_ami.waiting import LAG_S, known, until

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# On instance, image and snapshots; its value is the prefix. The scaler looks for another one.
BAKE_TAG, SYSTEM_TAG, ONE_TAG = "imagefleet:bake", "imagefleet:system", "imagefleet:bake-id"
# Seconds. Packages and a pull take two minutes; a driver that is compiled ten more. The instance
# itself gives up after BAKE_S. An image may take 45 minutes more (`images.AVAILABLE_WITHIN_S`), so
# what is older than LEFT_AFTER was left by somebody.
BAKE_S, STOPS_WITHIN_S, CONSOLE_WITHIN_S = 1800, 2100.0, 300.0
LEFT_AFTER = timedelta(hours=2)
# Between tries to terminate it; of a launch that was not answered EC2 may tell some seconds late.
PAUSES_S = (0.0, 2.0, 5.0, 10.0, 20.0)
# What another zone may have.
NO_CAPACITY = {"InsufficientInstanceCapacity", "Unsupported", "InsufficientFreeAddressesInSubnet"}
# Debian's root device.
ROOT_DEVICE = "/dev/xvda"
_TOLD_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to launch.

    Attributes:
        subnets: tried one after the other.
        disk_gib: of the image, too; a worker's disk can't be smaller.
        mark: what its console says before the result, and a tag by which it is found.
    """

    prefix: str
    base: str
    kind: str
    subnets: Sequence[str]
    group: str
    profile: str
    disk_gib: int
    user_data: str
    mark: str


def new_mark() -> str:
    """Return what nothing else on a console looks like."""
    return f"imagefleet-bake-{uuid4().hex[:16]}"


@contextmanager
def launched(ec2: EC2Client, recipe: Recipe, say: Callable[[str], None]) -> Iterator[str]:
    """Launch the instance and yield its id; it is terminated in the end, whatever happens.

    Raises:
        ImagefleetError: there is no capacity in any of the subnets.
    """
    instance, refused = "", False
    with interruptible():
        try:
            try:
                instance = _launch(ec2, recipe, say)
            except (ClientError, ImagefleetError) as error:
                refused = not isinstance(error, ClientError) or not _is_unclear(error)
                raise
            yield instance
        finally:
            if not refused:
                with uninterrupted():
                    _end(ec2, instance, recipe.mark, say)


def _is_unclear(error: ClientError) -> bool:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500


def _launch(ec2: EC2Client, recipe: Recipe, say: Callable[[str], None]) -> str:
    lacking = []
    for subnet in recipe.subnets:
        try:
            answer = ec2.run_instances(**_request(recipe, subnet))
        except ClientError as error:
            if error_code(error) not in NO_CAPACITY:
                raise
            lacking.append(f"{subnet}: {error.response['Error'].get('Message', '')}")
            continue
        instance = answer["Instances"][0]["InstanceId"]
        say(f"{instance}: {recipe.kind} from {recipe.base} in {subnet}")
        return instance
    raise ImagefleetError(f"no {recipe.kind} to be had, try --type: {'; '.join(lacking)}")


def _request(recipe: Recipe, subnet: str) -> Any:
    tags = [
        {"Key": "Name", "Value": f"{recipe.prefix}-bake"},
        {"Key": BAKE_TAG, "Value": recipe.prefix},
        {"Key": SYSTEM_TAG, "Value": recipe.prefix},
        {"Key": ONE_TAG, "Value": recipe.mark},
    ]
    disk = {
        "VolumeType": "gp3",
        "VolumeSize": recipe.disk_gib,
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    return {
        "ImageId": recipe.base,
        "InstanceType": recipe.kind,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": f"{recipe.mark}-{subnet}"[:64],
        "SubnetId": subnet,
        "SecurityGroupIds": [recipe.group],
        "IamInstanceProfile": {"Name": recipe.profile},
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        # Images are made of stopped ones, and one that somebody forgets costs its disk only.
        "InstanceInitiatedShutdownBehavior": "stop",
        "BlockDeviceMappings": [{"DeviceName": ROOT_DEVICE, "Ebs": disk}],
        "UserData": recipe.user_data,
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
    }


def finished(
    ec2: EC2Client,
    instance: str,
    mark: str,
    say: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the instance has done its work and powered off.

    Raises:
        ImagefleetError: it failed, with the end of its console; was ended by others; or takes too
            long.
    """
    began, told = clock(), ""

    def stopped() -> bool | None:
        nonlocal told
        found = known(lambda: ec2.describe_instances(InstanceIds=[instance]))
        if found is None or not found["Reservations"]:
            if clock() - began > LAG_S:
                raise ImagefleetError(f"{instance}: EC2 doesn't know it any more")
            return None
        about = found["Reservations"][0]["Instances"][0]
        state = about["State"]["Name"]
        if state != told:
            say(f"  {instance} is {state}")
            told = state
        if state in {"shutting-down", "terminated"}:
            why = about.get("StateReason", {}).get("Message") or "no reason was given"
            raise ImagefleetError(f"{instance} was terminated before it was done: {why}")
        return True if state == "stopped" else None

    late = f"{instance}: not done after {STOPS_WITHIN_S / 60:.0f} minutes"
    until(stopped, STOPS_WITHIN_S, late, clock=clock, sleep=sleep)

    # The console comes some time after the end.
    seen = ""

    def verdict() -> str | None:
        nonlocal seen
        seen = ec2.get_console_output(InstanceId=instance).get("Output", "") or seen
        _, found, rest = seen.rpartition(f"{mark}: ")
        return rest.split()[0] if found and rest.split() else None

    late = f"{instance} powered off and its console doesn't say whether it was done"
    if until(verdict, CONSOLE_WITHIN_S, late, clock=clock, sleep=sleep) != "done":
        before = seen.rpartition(f"{mark}: ")[0].splitlines()[-_TOLD_LINES:]
        for line in before:
            say(f"  | {line}")
        raise ImagefleetError(f"{instance}: the machine was not provisioned; its console says why")


def left_behind(ec2: EC2Client, prefix: str) -> list[str]:
    """Return instances of an earlier bake that nobody can be waiting for any more."""
    return [
        each["InstanceId"]
        for each in _tagged(ec2, BAKE_TAG, prefix)
        if each["LaunchTime"] < datetime.now(UTC) - LEFT_AFTER
    ]


def _tagged(ec2: EC2Client, tag: str, value: str) -> list[Any]:
    answer = ec2.describe_instances(
        Filters=[
            {"Name": f"tag:{tag}", "Values": [value]},
            {
                "Name": "instance-state-name",
                "Values": ["pending", "running", "stopping", "stopped"],
            },
        ]
    )
    return [each for found in answer["Reservations"] for each in found["Instances"]]


def _end(ec2: EC2Client, instance: str, mark: str, say: Callable[[str], None]) -> None:
    """Terminate the instance, also if its launch was never answered; try for a while."""
    for pause in PAUSES_S:
        time.sleep(pause)
        try:
            ids = (
                [instance]
                if instance
                else [each["InstanceId"] for each in _tagged(ec2, ONE_TAG, mark)]
            )
            if ids:
                ec2.terminate_instances(InstanceIds=ids)
                say(f"  terminating {', '.join(ids)}")
                return
        except (ClientError, BotoCoreError) as error:
            say(f"  could not be terminated yet: {explain(error)}")
    if instance:
        say(f"  {instance} IS LEFT: terminate it in EC2, or bake again in two hours")
