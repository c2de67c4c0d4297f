"""What to ask EC2 for, in which order: everything at once, or type by type."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from imagefleet_scaler.providers.ec2 import tags
from imagefleet_scaler.providers.ec2.orders import Call
from imagefleet_scaler.providers.ec2.spec import Ec2Spec


def attempts(spec: Ec2Spec, count: int, spot: int) -> Sequence[Attempt]:
    """Return the ways to launch `count` instances, `spot` of them as spot instances if possible."""
    if spec.by_run:
        return _by_run(spec, count, spot)
    first = [FleetAttempt(spec, upto=count, spot=spot)] if spot else []
    return [*first, FleetAttempt(spec, upto=count)]


@dataclass
class FleetAttempt:
    """`CreateFleet` chooses among all types and subnets, and answers at once with what it got.

    Attributes:
        upto: how many there are to be after it, with those of the attempts before.
        spot: how many of these are to be spot instances.
        call: boto3's name of it.
        again: whether it may be asked again for what it left open.
        where: what it asks for, for people.
        quota: what its limits are counted by.
    """

    spec: Ec2Spec
    upto: int
    spot: int = 0
    call: Call = "create_fleet"
    again: bool = False
    where: str = ""
    quota: Hashable = None

    def request(self, count: int, token: str, version: int) -> dict[str, Any]:
        """Return the parameters of a call for `count` instances."""
        spec = self.spec
        template: dict[str, Any] = {"LaunchTemplateSpecification": _template(spec, version)}
        if overrides := _overrides(spec):
            template["Overrides"] = overrides
        # Types stand in the order of preference, if there are several.
        ranked = len(spec.types) > 1
        spot = "capacity-optimized-prioritized" if ranked else "capacity-optimized"
        return {
            "Type": "instant",
            "ClientToken": token,
            "LaunchTemplateConfigs": [template],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": count,
                "OnDemandTargetCapacity": count - self.spot,
                "SpotTargetCapacity": self.spot,
                "DefaultTargetCapacityType": "on-demand",
            },
            "OnDemandOptions": {"AllocationStrategy": "prioritized" if ranked else "lowest-price"},
            **({"SpotOptions": {"AllocationStrategy": spot}} if self.spot else {}),
            "TagSpecifications": tags.specifications(
                ("fleet", "instance", "volume"), fleet=spec.fleet, token=token, version=version
            ),
        }


@dataclass
class RunAttempt:
    """`RunInstances` of one type in one subnet, as many as there are; otherwise likewise."""

    spec: Ec2Spec
    upto: int
    type: str
    subnet: str
    spot: bool
    call: Call = "run_instances"
    again: bool = True

    @property
    def quota(self) -> Hashable:
        """What its limits are counted by, at the finest."""
        return self.type, self.spot

    @property
    def where(self) -> str:
        """What it asks for, for people."""
        parts = (self.type, self.subnet, "spot" if self.spot else "")
        return ", ".join(part for part in parts if part)

    def request(self, count: int, token: str, version: int) -> dict[str, Any]:
        """Return the parameters of a call for up to `count` instances."""
        spec = self.spec
        optional = {"InstanceType": self.type, "SubnetId": self.subnet, "ImageId": spec.image_id}
        request: dict[str, Any] = {
            "ClientToken": token,
            "LaunchTemplate": _template(spec, version),
            "MinCount": 1,
            "MaxCount": count,
            **{name: value for name, value in optional.items() if value},
            "TagSpecifications": tags.specifications(
                ("instance", "volume"), fleet=spec.fleet, token=token, version=version
            ),
        }
        if self.spot:
            request["InstanceMarketOptions"] = {"MarketType": "spot"}
        return request


Attempt: TypeAlias = FleetAttempt | RunAttempt


def _by_run(spec: Ec2Spec, count: int, spot: int) -> list[RunAttempt]:
    places = list(itertools.product(spec.types or ("",), spec.subnets or ("",)))
    markets = [(True, spot), (False, count)] if spot else [(False, count)]
    return [
        RunAttempt(spec, upto, *place, is_spot) for is_spot, upto in markets for place in places
    ]


def _template(spec: Ec2Spec, version: int) -> dict[str, str]:
    return {"LaunchTemplateName": spec.template, "Version": str(version)}


def _overrides(spec: Ec2Spec) -> list[dict[str, Any]]:
    overrides = []
    for rank, kind in enumerate(spec.types or ("",)):
        for subnet in spec.subnets or ("",):
            override: dict[str, Any] = {
                "InstanceType": kind,
                "SubnetId": subnet,
                "ImageId": spec.image_id,
            }
            chosen = {name: value for name, value in override.items() if value}
            if len(spec.types) > 1:
                chosen["Priority"] = float(rank)
            if chosen:
                overrides.append(chosen)
    return overrides
