"""The account and region that everything is done in, and clients for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import NoRegionError

from imagefleet_core.aws import Aws
from imagefleet_core.errors import ImagefleetError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

# The four images, and the repositories that they have.
IMAGES = ("web", "scaler", "worker", "proxy")


USUAL_PREFIX = "imagefleet"


class WrongAccount(ImagefleetError):
    """These credentials are of another account, or of none."""


@dataclass(frozen=True)
class Account:
    """One account in one region, and the system of one prefix in it.

    Attributes:
        user: the ARN of who we are.
        options: those of the command line that say which system it is, and must be said again.
    """

    session: boto3.Session
    id: str
    region: str
    user: str
    prefix: str
    options: tuple[str, ...] = ()

    @property
    def data_stack(self) -> str:
        """The stack of buckets and queues."""
        return f"{self.prefix}-data"

    @property
    def fleet_stack(self) -> str:
        """The stack of machines."""
        return f"{self.prefix}-fleet"

    @property
    def usual_suffix(self) -> str:
        """What ends the names of buckets, which all of AWS shares, unless chosen otherwise."""
        return f"-{self.id}-{self.region}"

    @property
    def secrets_path(self) -> str:
        """The folder of SSM parameters from which the web host has its keys and certificates."""
        return f"/{self.prefix}/web"

    def repository(self, image: str) -> str:
        """Return the name of an image's repository."""
        return f"{self.prefix}/imagefleet-{image}"

    @cached_property
    def aws(self) -> Aws:
        """Clients of S3 and SQS."""
        return Aws(self.session)

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """CloudFormation."""
        return self.aws.cloudformation()

    @cached_property
    def ec2(self) -> EC2Client:
        """EC2."""
        return self.session.client("ec2", config=_CONFIG)

    def client(self, service: str) -> Any:
        """Return a client of any other service."""
        return self.session.client(service, config=_CONFIG)  # type: ignore[call-overload]


_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 5},
    user_agent_extra="imagefleet",
)


def open_account(prefix: str, *, region: str = "", expected: str = "") -> Account:
    """Return the account that the credentials are of.

    Args:
        region: boto3's own choice unless given.
        expected: the account that it must be, if any.

    Raises:
        WrongAccount: it is another one.
        BotoCoreError, ClientError: there are no credentials, no region, or they are not accepted.
    """
    session = boto3.Session(region_name=region or None)
    if not session.region_name:  # STS alone would answer without
        raise NoRegionError
    identity = session.client("sts", config=_CONFIG).get_caller_identity()
    if expected and identity["Account"] != expected:
        raise WrongAccount(
            f"these credentials are of account {identity['Account']}, and not of {expected}: "
            "set AWS_PROFILE, or log in to the other one"
        )
    said = {
        "--prefix": "" if prefix == USUAL_PREFIX else prefix,
        "--account": expected,
        "--region": region,
    }
    options = [each for option, value in said.items() if value for each in (option, value)]
    return Account(
        session,
        identity["Account"],
        session.region_name,
        identity["Arn"],
        prefix,
        tuple(options),
    )
