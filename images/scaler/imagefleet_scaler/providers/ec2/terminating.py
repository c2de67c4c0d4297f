"""Ends instances for good."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.ec2.refusals import named, sentence

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# AWS takes up to 1,000 in a call, and finishes smaller ones sooner.
AT_ONCE = 100

_ID = re.compile(r"i-[0-9a-f]{8,17}")


def terminate(ec2: EC2Client, ids: Collection[str]) -> set[str]:
    """Terminate instances, whatever state they are in; return those that EC2 does not know.

    Raises:
        ProviderError: some may not have been.
    """
    known = [each for each in ids if _ID.fullmatch(each)]
    unknown = set(ids) - set(known)
    for start in range(0, len(known), AT_ONCE):
        unknown |= _terminate(ec2, known[start : start + AT_ONCE])
    return unknown


def _terminate(ec2: EC2Client, ids: list[str]) -> set[str]:
    unknown: set[str] = set()
    while left := [each for each in ids if each not in unknown]:
        try:
            ec2.terminate_instances(InstanceIds=left)
            break
        except (BotoCoreError, ClientError) as error:
            # One that isn't known keeps EC2 from terminating any.
            missing = named(error) & set(left)
            if not missing:
                raise ProviderError(f"ending workers: {sentence(error)}") from error
            unknown |= missing
    return unknown
