"""A small EC2 in memory, for tests of a thousand turns, which take moto minutes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from ec2_faults import client_error

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ALIVE = {"pending", "running"}
SHUTDOWN_S = 10


class MemoryEc2:
    """One launch template and its instances; ends take ten seconds, as do stops.

    Attributes:
        instances: each as it is described, in whatever state.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._ends: dict[str, tuple[float, str]] = {}
        self.instances: dict[str, dict[str, Any]] = {}

    @property
    def client(self) -> EC2Client:
        """It, as what it stands for."""
        return cast("EC2Client", self)

    def ids(self, *states: str) -> set[str]:
        """Return the ids of instances in these states, of those alive unless given."""
        self._pass_time()
        wanted = set(states) or ALIVE
        return {each for each, it in self.instances.items() if it["State"]["Name"] in wanted}

    def describe_launch_templates(self, **_: Any) -> dict[str, Any]:
        return {"LaunchTemplates": [{"LatestVersionNumber": 1}]}

    def create_fleet(self, **request: Any) -> dict[str, Any]:
        wanted = request["TargetCapacitySpecification"]
        tags = next(
            each["Tags"]
            for each in request["TagSpecifications"]
            if each["ResourceType"] == "instance"
        )
        kinds = ("on-demand", "OnDemandTargetCapacity"), ("spot", "SpotTargetCapacity")
        groups = [
            {
                "Lifecycle": kind,
                "InstanceIds": [self._launch(kind, tags) for _ in range(wanted[capacity])],
            }
            for kind, capacity in kinds
        ]
        return {"FleetId": "fleet-1", "Instances": groups, "Errors": []}

    def terminate_instances(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803
        return self._go(InstanceIds, "shutting-down", "terminated")

    def stop_instances(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803
        return self._go(InstanceIds, "stopping", "stopped")

    def start_instances(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803
        self._pass_time()
        self._require(InstanceIds)
        states = {self.instances[each]["State"]["Name"] for each in InstanceIds}
        if not states <= {"stopped", *ALIVE}:
            raise client_error("IncorrectInstanceState", "Not stopped", "StartInstances")
        for each in InstanceIds:
            self.instances[each]["State"]["Name"] = "pending"
        return {}

    def get_paginator(self, _: str) -> MemoryEc2:
        return self

    def paginate(self, *, Filters: list[dict[str, Any]], **_: Any) -> Iterator[Any]:  # noqa: N803
        self._pass_time()
        states = next(each["Values"] for each in Filters if each["Name"] == "instance-state-name")
        there = [
            {**each, "State": dict(each["State"])}
            for each in self.instances.values()
            if each["State"]["Name"] in states
        ]
        yield {"Reservations": [{"Instances": there}]}

    def _launch(self, kind: str, tags: list[dict[str, str]]) -> str:
        instance = f"i-{next(self._numbers):017x}"
        self.instances[instance] = {
            "InstanceId": instance,
            "State": {"Name": "pending"},
            "LaunchTime": datetime.fromtimestamp(self._now(), UTC),
            "Tags": tags,
            "RootDeviceType": "ebs",
            **({"InstanceLifecycle": "spot"} if kind == "spot" else {}),
        }
        return instance

    def _go(self, ids: list[str], at_once: str, later: str) -> dict[str, Any]:
        self._pass_time()
        self._require(ids)
        for each in ids:
            state = self.instances[each]["State"]
            if state["Name"] == "terminated" or (state["Name"] == "stopped" == later):
                continue
            state["Name"] = at_once
            self._ends[each] = self._now() + SHUTDOWN_S, later
        return {}

    def _require(self, ids: list[str]) -> None:
        if missing := [each for each in ids if each not in self.instances]:
            said = f"The instance IDs '{', '.join(missing)}' do not exist"
            raise client_error("InvalidInstanceID.NotFound", said, "TerminateInstances")

    def _pass_time(self) -> None:
        for each, (at, state) in list(self._ends.items()):
            if self._now() >= at:
                self.instances[each]["State"]["Name"] = state
                del self._ends[each]
