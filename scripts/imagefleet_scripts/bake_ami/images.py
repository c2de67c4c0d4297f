"""The images that were baked: made of a stopped instance, listed, and removed with their disks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import error_code, explain
from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.bake_ami.machine import BAKE_TAG, LEFT_AFTER, SYSTEM_TAG
from imagefleet_scripts.bake_ami.waiting import LAG_S, known, until

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

VERSION_TAG, BASE_TAG = "imagefleet:version", "imagefleet:base"
# Seconds; a snapshot of some gigabytes takes minutes.
AVAILABLE_WITHIN_S = 2700.0
# How long the snapshot of an image that is gone may count as in use.
RELEASED_WITHIN_S = 300.0


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


def new_name(prefix: str, version: str, instance: str) -> str:
    """Return a name for an image; EC2 takes 128 characters, and a version may have as many."""
    # The instance's id, so that no other bake's image of the same second has this name.
    return f"{prefix}-worker-{version[:50]}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{instance}"


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
    name = new_name(prefix, version, instance)
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
    try:
        image = ec2.create_image(
            InstanceId=instance,
            Name=name,
            Description=f"A worker's machine of {prefix}, version {version}",
            TagSpecifications=specifications,
        )["ImageId"]
    except ClientError as error:
        # The call has no token: the try before, whose answer was lost, made it.
        if error_code(error) != "InvalidAMIName.Duplicate":
            raise
        image = _named(ec2, name, clock, sleep)
    say(f"{image}: {name}")
    with _all_or_nothing(ec2, image, say):
        _available(ec2, image, say, clock, sleep)
    return image


def _named(
    ec2: EC2Client, name: str, clock: Callable[[], float], sleep: Callable[[float], None]
) -> str:
    def found() -> str | None:
        answer = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])
        return answer["Images"][0]["ImageId"] if answer["Images"] else None

    return until(
        found, LAG_S, f"{name}: EC2 says it is there, and lists none", clock=clock, sleep=sleep
    )


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
        except ImagefleetError as error:
            say(f"  {error}")
        raise


def superfluous(images: Sequence[Baked], keep: int, used: Collection[str]) -> list[Baked]:
    """Return those beyond the newest `keep`, but for those that are in use."""
    good = [image for image in images if image.state in {"available", "pending"}]
    kept = {image.id for image in good[:keep]} | set(used)
    return [image for image in images if image.id not in kept]


def remove(ec2: EC2Client, image: Baked, say: Callable[[str], None]) -> None:
    """Remove an image and its snapshots; what is gone already is no error.

    Raises:
        ImagefleetError: a snapshot is in use for minutes, though its image is gone.
    """
    known(lambda: ec2.deregister_image(ImageId=image.id))
    for snapshot in image.snapshots:
        _delete(ec2, snapshot)
    say(f"  removed {image.id} ({image.version}) and {len(image.snapshots)} snapshots")


def remove_orphans(ec2: EC2Client, prefix: str, say: Callable[[str], None]) -> None:
    """Delete snapshots whose image is gone, as after a removal that was broken off."""
    needed = {snapshot for image in baked(ec2, prefix) for snapshot in image.snapshots}
    for each in _snapshots(ec2, prefix):
        # An image that is being made may not name its snapshot yet.
        old = each["StartTime"] < datetime.now(UTC) - LEFT_AFTER
        if each["SnapshotId"] not in needed and old:
            _delete(ec2, each["SnapshotId"])
            say(f"  removed {each['SnapshotId']}, which no image needs")


def remove_all(ec2: EC2Client, prefix: str, say: Callable[[str], None]) -> None:
    """Remove all images of a system and all their snapshots, for good; say what stays."""
    for image in baked(ec2, prefix):
        with _said(say):
            remove(ec2, image, say)
    for each in _snapshots(ec2, prefix):
        with _said(say):
            _delete(ec2, each["SnapshotId"])


@contextmanager
def _said(say: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except ImagefleetError as error:
        say(f"  {error}")


def left(ec2: EC2Client, prefix: str) -> list[str]:
    """Return the images and snapshots of a system that are there."""
    snapshots = [each["SnapshotId"] for each in _snapshots(ec2, prefix)]
    return [*(image.id for image in baked(ec2, prefix)), *snapshots]


def _snapshots(ec2: EC2Client, prefix: str) -> Sequence[Any]:
    answer = ec2.describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": f"tag:{BAKE_TAG}", "Values": [prefix]}]
    )
    return answer["Snapshots"]


def _delete(ec2: EC2Client, snapshot: str) -> None:
    """Delete a snapshot, which counts as its image's for some seconds after that is gone."""

    def deleted() -> bool | None:
        try:
            known(lambda: ec2.delete_snapshot(SnapshotId=snapshot))
        except ClientError as error:
            if error_code(error) == "InvalidSnapshot.InUse":
                return None
            raise
        return True

    late = f"{snapshot}: still in use after {RELEASED_WITHIN_S / 60:.0f} minutes"
    until(deleted, RELEASED_WITHIN_S, late)
