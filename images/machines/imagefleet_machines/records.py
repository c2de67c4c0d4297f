"""The records of a fleet's instances, as EC2 has them."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import error_code, explain
from imagefleet_core.errors import ImagefleetError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# Set by the scaler in the call that launches; a launch template adds AWS's own where it counts.
FLEET_TAG, VERSION_TAG = "imagefleet:fleet", "imagefleet:template"

PENDING, RUNNING = "pending", "running"
STOPPING, STOPPED = "stopping", "stopped"
SHUTTING_DOWN, TERMINATED = "shutting-down", "terminated"
COMING, RESTING, GOING = {PENDING, RUNNING}, {STOPPING, STOPPED}, {SHUTTING_DOWN, TERMINATED}


class RecordsError(ImagefleetError):
    """EC2 doesn't answer, or not so that anybody could go by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One instance as EC2 describes it.

    Attributes:
        state: EC2's name of it.
        version: of the launch template; empty if unknown.
        spot: whether it may be interrupted.
        launched_at: ISO 8601.
    """

    id: str
    state: str
    image_id: str = ""
    type: str = ""
    zone: str = ""
    version: str = ""
    spot: bool = False
    launched_at: str = ""
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What of a launch template's version a machine gets to see."""

    user_data: bytes = b""
    profile_arn: str = ""


class Records(Protocol):
    """What the keeper asks of EC2; everything raises `RecordsError`."""

    def list(self) -> Sequence[Record]:
        """Return the fleet's instances, those that are terminated too while EC2 tells of them."""
        ...

    def terminate(self, instance: str) -> None:
        """Terminate an instance; one that is not known is none of anybody's business."""
        ...

    def template(self, version: str) -> Template:
        """Return a version of the launch template; the newest if `version` is empty."""
        ...


class Ec2Records:
    """The records that an EC2 endpoint keeps of a fleet."""

    def __init__(self, ec2: EC2Client, fleet: str, template: str) -> None:
        self._ec2 = ec2
        self._fleet = fleet
        self._template = template

    def list(self) -> Sequence[Record]:
        """Return the fleet's instances."""
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": f"tag:{FLEET_TAG}", "Values": [self._fleet]}]
        )
        try:
            return [_record(each) for page in pages for each in _instances(page)]
        except (BotoCoreError, ClientError) as error:
            raise RecordsError(f"listing instances: {explain(error)}") from error

    def terminate(self, instance: str) -> None:
        """Terminate an instance."""
        try:
            self._ec2.terminate_instances(InstanceIds=[instance])
        except (BotoCoreError, ClientError) as error:
            if error_code(error) != "InvalidInstanceID.NotFound":
                raise RecordsError(f"terminating {instance}: {explain(error)}") from error

    def template(self, version: str) -> Template:
        """Return a version of the launch template."""
        try:
            found = self._ec2.describe_launch_template_versions(
                LaunchTemplateName=self._template, Versions=[version or "$Latest"]
            )["LaunchTemplateVersions"]
        except (BotoCoreError, ClientError) as error:
            raise RecordsError(f"reading {self._template}: {explain(error)}") from error
        if not found:
            raise RecordsError(f"{self._template} has no version {version or '$Latest'}")
        data = found[0]["LaunchTemplateData"]
        return Template(
            user_data=base64.b64decode(data.get("UserData", "")),
            profile_arn=data.get("IamInstanceProfile", {}).get("Arn", ""),
        )


def _instances(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for reservation in page.get("Reservations", ()):
        yield from reservation.get("Instances", ())


def _record(described: Mapping[str, Any]) -> Record:
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", ())}
    version = tags.get(VERSION_TAG, "")
    return Record(
        id=described["InstanceId"],
        state=described["State"]["Name"],
        image_id=described.get("ImageId", ""),
        type=described.get("InstanceType", ""),
        zone=described.get("Placement", {}).get("AvailabilityZone", ""),
        version=version if re.fullmatch(r"\d{1,9}", version) else "",
        spot=described.get("InstanceLifecycle") == "spot",
        launched_at=described["LaunchTime"].isoformat(timespec="seconds"),
        tags=tags,
    )


def by_id(records: Collection[Record]) -> dict[str, Record]:
    """Return records by their ids, of one that is told twice the later."""
    return {each.id: each for each in records}
