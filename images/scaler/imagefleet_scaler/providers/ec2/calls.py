"""Makes the call of an order and reads its answer, which may be a part of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.ec2.orders import Order
from imagefleet_scaler.providers.ec2.refusals import (
    Refusal,
    is_unknown,
    refusal,
    sentence,
    was_made_before,
    where,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


class OutcomeUnknown(Exception):
    """Nobody knows whether the call was carried out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a call.

    Attributes:
        on_demand: the ids of what was launched; `spot` too.
        refusals: why others were not.
        untold: whether it was carried out before, and EC2 no longer says what it launched.
    """

    on_demand: list[str] = field(default_factory=list)
    spot: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    untold: bool = False

    @property
    def ids(self) -> list[str]:
        """All that was launched."""
        return [*self.on_demand, *self.spot]


def make(ec2: EC2Client, order: Order, place: str = "") -> Answer:
    """Make the call.

    Args:
        place: what is asked for, for people.

    Raises:
        OutcomeUnknown: it may have been carried out or not.
        ProviderError: it could not be made.
    """
    try:
        if order.call == "create_fleet":
            return _of_fleet(ec2.create_fleet(**order.request))
        return _of_run(ec2.run_instances(**order.request))
    except (BotoCoreError, ClientError) as error:
        if was_made_before(error):
            return Answer(untold=True)
        if is_unknown(error):
            raise OutcomeUnknown(sentence(error)) from error
        if isinstance(error, ClientError):
            return Answer(refusals=[refusal(error, place)])
        raise ProviderError(f"launching workers: {sentence(error)}") from error


def _of_fleet(answer: Mapping[str, Any]) -> Answer:
    read = Answer()
    for group in answer.get("Instances", ()):
        kept = read.spot if group.get("Lifecycle") == "spot" else read.on_demand
        kept.extend(group.get("InstanceIds", ()))
    for error in answer.get("Errors", ()):
        override = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        read.refusals.append(
            Refusal(
                error.get("ErrorCode", ""),
                error.get("ErrorMessage", ""),
                "CreateFleet",
                where(override, spot=error.get("Lifecycle") == "spot"),
            )
        )
    return read


def _of_run(answer: Mapping[str, Any]) -> Answer:
    read = Answer()
    for each in answer.get("Instances", ()):
        kept = read.spot if each.get("InstanceLifecycle") == "spot" else read.on_demand
        kept.append(each["InstanceId"])
    return read
