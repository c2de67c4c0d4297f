"""What EC2 refuses, what that calls for, and how it is told to people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from imagefleet_core.aws import error_code, explain

# https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html
_NO_CAPACITY = {
    "InsufficientCapacity",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientReservedInstanceCapacity",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    "Unsupported",  # the type isn't offered in that zone
}
_THROTTLED = {"EC2ThrottledException", "RequestLimitExceeded", "Throttling", "ThrottlingException"}
_LIMIT = {
    "InstanceLimitExceeded",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientVolumeCapacity",
    "MaxIOPSLimitExceeded",
    "NetworkInterfaceLimitExceeded",
    "PendingVerification",
    "ResourceLimitExceeded",
    "VcpuLimitExceeded",
    "VolumeLimitExceeded",
}
# Of these another subnet has no more to give either.
_QUOTA = {"InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"}
_FORBIDDEN = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_KNOWN = _NO_CAPACITY | _THROTTLED | _LIMIT | _FORBIDDEN
_GONE = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}
# What fleets say of a type that isn't offered in a zone; `RunInstances` says Unsupported.
_NOT_OFFERED = re.compile(r"not supported in your requested Availability Zone", re.IGNORECASE)
# A call that is repeated under its token, but was made before: it isn't made again.
_MADE_BEFORE = {"IdempotentInstanceTerminated", "IdempotentParameterMismatch"}

# What helps, by how the code begins.
_HELP = {
    "InsufficientFreeAddressesInSubnet": "name more or larger subnets in IMAGEFLEET_SUBNETS",
    "InstanceLimitExceeded": "ask for more under Service Quotas",
    "Insufficient": (
        "name more types in IMAGEFLEET_INSTANCE_TYPES, or subnets of more zones in "
        "IMAGEFLEET_SUBNETS"
    ),
    "InvalidAMIID": "make the image again, or name another one in IMAGEFLEET_IMAGE_ID",
    "InvalidFleetConfiguration": (
        "check IMAGEFLEET_INSTANCE_TYPES and IMAGEFLEET_SUBNETS against what the region offers"
    ),
    "InvalidLaunchTemplate": (
        "deploy the fleet's template first, or name another one in IMAGEFLEET_LAUNCH_TEMPLATE"
    ),
    "InvalidSubnet": "check IMAGEFLEET_SUBNETS against the region's subnets",
    "MaxSpotInstanceCountExceeded": "ask for more spot vCPUs under Service Quotas",
    "OperationNotPermitted": "switch off the termination protection of the launch template",
    "OptInRequired": "subscribe to the service or to the image's product in the AWS console",
    "PendingVerification": "AWS is still verifying the account, which takes up to four hours",
    "SpotMaxPriceTooLow": "take the price limit out of the launch template",
    "Unsupported": "name types that the zones of IMAGEFLEET_SUBNETS offer",
    "VolumeLimitExceeded": "ask for more under Service Quotas",
}


class Kind(Enum):
    """What a refusal calls for."""

    NO_CAPACITY = "another type, zone or market"
    # AWS counts most of them for each family of types and each market.
    LIMIT = "likewise, and patience"
    THROTTLED = "patience alone"
    LASTING = "a person"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why EC2 did not launch.

    Attributes:
        code: EC2's.
        said: EC2's message.
        operation: the call.
        where: type, zone or subnet, and market, as far as known.
    """

    code: str
    said: str
    operation: str
    where: str = ""

    @property
    def is_quota(self) -> bool:
        """Whether the account may have no more of that type in that market, wherever."""
        return self.code in _QUOTA

    @property
    def kind(self) -> Kind:
        """What it calls for."""
        if self.code in _NO_CAPACITY or self._is_not_offered:
            return Kind.NO_CAPACITY
        if self.code in _THROTTLED:
            return Kind.THROTTLED
        return Kind.LIMIT if self.code in _LIMIT else Kind.LASTING

    @property
    def _is_not_offered(self) -> bool:
        wrong = self.code == "InvalidFleetConfiguration"
        return wrong and bool(_NOT_OFFERED.search(self.said))

    def __str__(self) -> str:
        """Say in a sentence what was wrong, and what would be right."""
        where = f" ({self.where})" if self.where else ""
        if self.code in _FORBIDDEN:
            action = _action(self.said) or f"ec2:{self.operation}"
            return f"the credentials do not permit {action}: allow it, see docs/operations.md"
        if self.code in _THROTTLED:
            return f"AWS takes no more calls of {self.operation} for now"
        if self.code == "VcpuLimitExceeded":
            allowed = re.search(r"limit of (\d+)", self.said)
            many = f"only {allowed[1]}" if allowed else "no more"
            return (
                f"the account allows {many} vCPUs of such instances{where}: ask for more under "
                "Service Quotas"
            )
        helps = next((text for code, text in _HELP.items() if self.code.startswith(code)), "")
        said = self.said.strip().rstrip(".")
        return f"{self.code}{where}: {said}" + (f": {helps}" if helps else "")


def refusal(error: ClientError, where: str = "") -> Refusal:
    """Return why a call was refused."""
    said = str(error.response.get("Error", {}).get("Message", ""))
    return Refusal(error_code(error), said, error.operation_name, where)


def sentence(error: BotoCoreError | ClientError) -> str:
    """Say what went wrong and what would be right."""
    if isinstance(error, ClientError):
        code = error_code(error)
        if code == "AuthFailure":
            return "AWS does not know these credentials: check the access key and its secret"
        if code in _KNOWN or any(code.startswith(each) for each in _HELP):
            return str(refusal(error))
    return explain(error)


def is_unknown(error: BotoCoreError | ClientError) -> bool:
    """Whether a call may have been carried out although it failed.

    One that reached nobody may have been by its first try: boto3 tells of the last alone. And an
    answer may break off in the middle of TLS.

    A throttled one was not. Had an earlier try of the same call been, which then is retried and
    throttled, its instances are described well before the next launch.
    """
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 and error_code(error) not in _KNOWN
    return isinstance(error, (HTTPClientError, NoConnectionError))


def is_throttled(error: Exception) -> bool:
    """Whether AWS takes no more such calls for now."""
    return error_code(error) in _THROTTLED


def is_at_the_door(error: Exception) -> bool:
    """Whether a call was refused before anybody looked at its token."""
    return error_code(error) in _THROTTLED | _FORBIDDEN


def was_made_before(error: Exception) -> bool:
    """Whether a call was refused for having been made before."""
    return error_code(error) in _MADE_BEFORE


def named(error: Exception) -> set[str]:
    """Return the ids of instances that EC2 says it does not know; empty for other errors."""
    if error_code(error) not in _GONE or not isinstance(error, ClientError):
        return set()
    return set(re.findall(r"\bi-[0-9a-f]+", str(error.response["Error"].get("Message", ""))))


def where(override: dict[str, Any], *, spot: bool) -> str:
    """Name a place to launch in: its type, its subnet or zone, and spot if it is."""
    parts = [
        override.get("InstanceType", ""),
        override.get("SubnetId", "") or override.get("AvailabilityZone", ""),
        "spot" if spot else "",
    ]
    return ", ".join(part for part in parts if part)


def _action(said: str) -> str:
    """Return the action that a message of IAM names; what it says in code stays unread."""
    found = re.search(r"not authorized to perform: ([\w-]+:\w+)", said)
    return found[1] if found else ""
