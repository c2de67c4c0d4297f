"""Credentials of an instance's role, taken from STS as EC2 does it for its instances."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import explain
from imagefleet_core.errors import ImagefleetError

# EC2 hands out new ones well before the old ones end.
RENEW_BEFORE = timedelta(minutes=10)


class CredentialsError(ImagefleetError):
    """There are none to be had."""


class Credentials(Protocol):
    """Gives the credentials of instance profiles."""

    def role(self, profile_arn: str) -> str:
        """Return the name of a profile's role; raises `CredentialsError`."""
        ...

    def document(self, profile_arn: str, instance: str) -> str:
        """Return what stands at the role's path; raises `CredentialsError`."""
        ...


class RoleCredentials:
    """Takes on the roles of instance profiles, and keeps what it got while that is good.

    Args:
        iam: boto3's client; `sts` too.
        now: the time of day.
    """

    def __init__(
        self, iam: Any, sts: Any, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._iam = iam
        self._sts = sts
        self._now = now
        self._roles: dict[str, str] = {}
        self._documents: dict[str, tuple[datetime, str]] = {}
        self._lock = threading.Lock()

    def role(self, profile_arn: str) -> str:
        """Return the name of a profile's role."""
        with self._lock:
            return self._role_arn(profile_arn).rpartition("/")[2]

    def document(self, profile_arn: str, instance: str) -> str:
        """Return what stands at the role's path."""
        with self._lock:
            until, document = self._documents.get(instance, (self._now(), ""))
            if until - self._now() > RENEW_BEFORE:
                return document
            given = self._assume(self._role_arn(profile_arn), instance)
            self._documents[instance] = (given["Expiration"], _document(given, self._now()))
            return self._documents[instance][1]

    def _role_arn(self, profile_arn: str) -> str:
        if profile_arn not in self._roles:
            name = profile_arn.rpartition("/")[2]
            try:
                profile = self._iam.get_instance_profile(InstanceProfileName=name)
            except (BotoCoreError, ClientError) as error:
                raise CredentialsError(f"looking at {name}: {explain(error)}") from error
            roles = profile["InstanceProfile"]["Roles"]
            if not roles:
                raise CredentialsError(f"{name} has no role")
            self._roles[profile_arn] = roles[0]["Arn"]
        return self._roles[profile_arn]

    def _assume(self, role_arn: str, instance: str) -> dict[str, Any]:
        try:
            answer = self._sts.assume_role(RoleArn=role_arn, RoleSessionName=instance)
        except (BotoCoreError, ClientError) as error:
            raise CredentialsError(f"taking on {role_arn}: {explain(error)}") from error
        given: dict[str, Any] = answer["Credentials"]
        return given


def _document(given: dict[str, Any], now: datetime) -> str:
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "Type": "AWS-HMAC",
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "Token": given["SessionToken"],
            "Expiration": f"{given['Expiration'].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        },
        indent=2,
    )
