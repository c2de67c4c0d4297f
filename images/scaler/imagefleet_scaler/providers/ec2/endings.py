"""What is known of workers that never came to work: why EC2 ended them, and what they said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_scaler.providers.ec2 import console
from imagefleet_scaler.providers.ec2.machines import GOING, STOPPED, instances
from imagefleet_scaler.providers.words import MOST_CHARACTERS, last_words

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# In one call; AWS takes 200 values of a filter.
AT_ONCE = 100
LONGEST_REASON = 500

_ENDED = GOING | {STOPPED, "terminated"}


def read(ec2: EC2Client, ids: Collection[str], ended: Collection[str]) -> dict[str, str]:
    """Return what is known of each, at most 2,000 characters.

    Args:
        ended: those that may have ended; their consoles may be empty, and EC2 says why.
    """
    reasons = _reasons(ec2, ended)
    said = console.read(ec2, ids)
    both = {each: _joined(reasons.get(each, ""), said.get(each, "")) for each in ids}
    return {each: text for each, text in both.items() if text}


def _reasons(ec2: EC2Client, ids: Collection[str]) -> dict[str, str]:
    """Return EC2's reasons; none where it can't be asked."""
    asked = sorted(ids)[:AT_ONCE]
    if not asked:
        return {}
    # A filter, as one id that EC2 has forgotten would be an error; by no tag, as these go first.
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html
    request: dict[str, Any] = {"Filters": [{"Name": "instance-id", "Values": asked}]}
    try:
        pages = list(ec2.get_paginator("describe_instances").paginate(**request))
    except (BotoCoreError, ClientError):
        return {}
    described = [each for page in pages for each in instances(page)]
    return {each["InstanceId"]: _reason(each) for each in described}


def _reason(described: Mapping[str, Any]) -> str:
    """Return why an instance ended: "Client.VolumeLimitExceeded: Volume limit exceeded"."""
    if described["State"]["Name"] not in _ENDED:
        return ""
    reason = described.get("StateReason") or {}
    code, message = reason.get("Code", ""), reason.get("Message", "")
    said = message if code in message else f"{code}: {message}".rstrip(": ")
    said = said or described.get("StateTransitionReason", "")
    return f"EC2 says: {last_words(said[:LONGEST_REASON])}" if said else ""


def _joined(reason: str, said: str) -> str:
    if not reason:
        return said
    room = MOST_CHARACTERS - len(reason) - 1
    return f"{reason}\n{said[-room:]}".rstrip()
