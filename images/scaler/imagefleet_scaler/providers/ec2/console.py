"""What instances last wrote to their consoles."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import error_code
from imagefleet_scaler.providers.words import last_words

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# A call for each: a few tell what is wrong with all.
AT_ONCE = 5
_NOT_THE_LATEST = {
    "IncorrectInstanceState",
    "InvalidParameterCombination",
    "UnsupportedOperation",
}


def read(ec2: EC2Client, ids: Iterable[str]) -> dict[str, str]:
    """Return the ends of their consoles, of five instances at most and where there is any."""
    found = {each: _read(ec2, each) for each in islice(ids, AT_ONCE)}
    return {each: text for each, text in found.items() if text}


def _read(ec2: EC2Client, instance: str) -> str:
    try:
        try:
            answer = ec2.get_console_output(InstanceId=instance, Latest=True)
        except ClientError as error:
            # Only what is built on Nitro and runs tells the latest; others what they said before.
            if error_code(error) not in _NOT_THE_LATEST:
                return ""
            answer = ec2.get_console_output(InstanceId=instance)
    except (BotoCoreError, ClientError):
        return ""
    return last_words(answer.get("Output", "") or "")
