"""The images that were baked: made of a stopped instance, listed, and removed with their disks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import explain
from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.bake_ami.machine import BAKE_TAG, LEFT_AFTER, SYSTEM_TAG
from imagefleet_scripts.bake_ami.waiting import LAG_S, known, until

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

VERSION_TAG, BASE_TAG = "imagefleet:version", "imagefleet:base"
# Seconds; a snapshot of some gigabytes takes minutes.
AVAILABLE_WITHIN_S = 2700.0


@dataclass(frozen=True, slots=True)
class Baked:
    """One image.

    Attributes:
        version: the tag of the worker's image in it.
        made: when, as EC2 writes it, which sorts by time.
    """

    id: str
    version: str
    made: str
    state: str
    snapshots: Sequence[str]


def baked(ec2: EC2Client, prefix: str) -> list[Baked]:
    """Return this system's images, newest first."""
    answer = ec2.describe_images(
        Owners=["self"], Filters=[{"Name": f"tag:{BAKE_TAG}", "Values": [prefix]}]
    )
    found = [_read(each) for each in answer["Images"]]
    return sorted(found, key=lambda image: image.made, reverse=True)


def _read(about: Any) -> Baked:
    tags = {tag["Key"]: tag["Value"] for tag in about.get("Tags", ())}
    disks = (each.get("Ebs", {}) for each in about.get("BlockDeviceMappings", ()))
    snapshots = [disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")]
    return Baked(
        about["ImageId"],
        tags.get(VERSION_TAG, "?"),
        about.get("CreationDate", ""),
        about.get("State", ""),
        snapshots,
    )


def make(
    ec2: EC2Client,
    instance: str,
    *,
    prefix: str,
    version: str,
    base: str,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Make an image of a stopped instance and return its id once it can be launched.

    Raises:
        ImagefleetError: it failed or takes too long; nothing is left of it.
    """
    name = f"{prefix}-worker-{version}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    tags = [
        {"Key": key, "Value": value}
        for key, value in (
            ("Name", name),
            (BAKE_TAG, prefix),
            (SYSTEM_TAG, prefix),
            (VERSION_TAG, version),
            (BASE_TAG, base),
        )
    ]
    specifications: Any = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    image = ec2.create_image(
        InstanceId=instance,
        Name=name,
        Description=f"A worker's machine of {prefix}, version {version}",
        TagSpecifications=specifications,
    )["ImageId"]
    say(f"{image}: {name}")
    with _all_or_nothing(ec2, image, say):
        _available(ec2, image, say, clock, sleep)
    return image


def _available(
    ec2: EC2Client,
    image: str,
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    began, told = clock(), ""

    def available() -> bool | None:
        nonlocal told
        answer = known(lambda: ec2.describe_images(ImageIds=[image]))
        if answer is None or not answer["Images"]:
            if clock() - began > LAG_S:
                raise ImagefleetError(f"{image}: EC2 doesn't know it any more")
            return None
        about = answer["Images"][0]
        state = about["State"]
        if state != told:
            say(f"  {image} is {state}")
            told = state
        if state in {"failed", "error", "invalid", "deregistered"}:
            why = about.get("StateReason", {}).get("Message") or "no reason was given"
            raise ImagefleetError(f"{image}: {state}: {why}")
        return True if state == "available" else None

    late = f"{image}: not available after {AVAILABLE_WITHIN_S / 60:.0f} minutes"
    until(available, AVAILABLE_WITHIN_S, late, clock=clock, sleep=sleep)


@contextmanager
def _all_or_nothing(ec2: EC2Client, image: str, say: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        try:
            found = known(lambda: ec2.describe_images(ImageIds=[image]))
            for about in found["Images"] if found else ():
                remove(ec2, _read(about), say)
        except (ClientError, BotoCoreError) as error:
            say(f"  {image} could not be removed: {explain(error)}")
        raise


def superfluous(images: Sequence[Baked], keep: int, used: Collection[str]) -> list[Baked]:
    """Return those beyond the newest `keep`, but for those that are in use."""
    good = [image for image in images if image.state in {"available", "pending"}]
    kept = {image.id for image in good[:keep]} | set(used)
    return [image for image in images if image.id not in kept]


def remove(ec2: EC2Client, image: Baked, say: Callable[[str], None]) -> None:
    """Remove an image and its snapshots; what is gone already is no error."""
    known(lambda: ec2.deregister_image(ImageId=image.id))
    for snapshot in image.snapshots:
        _delete(ec2, snapshot)
    say(f"  removed {image.id} ({image.version}) and {len(image.snapshots)} snapshots")


def remove_orphans(ec2: EC2Client, prefix: str, say: Callable[[str], None]) -> None:
    """Delete snapshots whose image is gone, as after a removal that was broken off."""
    needed = {snapshot for image in baked(ec2, prefix) for snapshot in image.snapshots}
    answer = ec2.describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": f"tag:{BAKE_TAG}", "Values": [prefix]}]
    )
    for each in answer["Snapshots"]:
        # An image that is being made may not name its snapshot yet.
        old = each["StartTime"] < datetime.now(UTC) - LEFT_AFTER
        if each["SnapshotId"] not in needed and old:
            _delete(ec2, each["SnapshotId"])
            say(f"  removed {each['SnapshotId']}, which no image needs")


def remove_all(ec2: EC2Client, prefix: str, say: Callable[[str], None]) -> None:
    """Remove all images of a system, for good."""
    for image in baked(ec2, prefix):
        remove(ec2, image, say)
    remove_orphans(ec2, prefix, say)


def _delete(ec2: EC2Client, snapshot: str) -> None:
    known(lambda: ec2.delete_snapshot(SnapshotId=snapshot))
