"""EC2 as it is on a bad day, in front of one that always works: it refuses, times out and lags."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

Call = Callable[..., Any]
# Takes the real call and its parameters, and answers or raises instead of it.
Fault = Callable[[Call, dict[str, Any]], Any]

HTTP_STATUS = {"InternalError": 500, "Unavailable": 503, "RequestLimitExceeded": 503}


# These come before anybody looks at a token; others never answer a call that was carried out.
AT_THE_DOOR = {"InternalError", "RequestLimitExceeded", "UnauthorizedOperation", "Unavailable"}


@dataclass
class Refused:
    """Refuses the call."""

    code: str
    said: str = "no"
    operation: str = "CreateFleet"

    def __call__(self, call: Call, request: dict[str, Any]) -> Any:
        raise client_error(self.code, self.said, self.operation)


refused = Refused


def client_error(code: str, said: str, operation: str) -> ClientError:
    status = HTTP_STATUS.get(code, 400)
    answer: Any = {
        "Error": {"Code": code, "Message": said},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, operation)


def lost_before(call: Call, request: dict[str, Any]) -> Any:
    """Time out, with nothing done."""
    raise ReadTimeoutError(endpoint_url="https://ec2")


def lost_after(call: Call, request: dict[str, Any]) -> Any:
    """Carry the call out, and lose the answer."""
    call(**request)
    raise ReadTimeoutError(endpoint_url="https://ec2")


def unreachable(call: Call, request: dict[str, Any]) -> Any:
    """Reach nobody."""
    raise EndpointConnectionError(endpoint_url="https://ec2")


def unreachable_after(call: Call, request: dict[str, Any]) -> Any:
    """Carry the call out and lose the answer, and reach nobody when it is tried again."""
    call(**request)
    raise EndpointConnectionError(endpoint_url="https://ec2")


def cut_off_after(call: Call, request: dict[str, Any]) -> Any:
    """Carry the call out, and have the answer break off in the middle of TLS."""
    call(**request)
    raise SSLError(endpoint_url="https://ec2", error=EOFError("EOF in violation of protocol"))


def no_credentials(call: Call, request: dict[str, Any]) -> Any:
    """Make no call at all."""
    raise NoCredentialsError


def failed_after(call: Call, request: dict[str, Any]) -> Any:
    """Carry the call out, and answer 500."""
    call(**request)
    raise client_error("InternalError", "An internal error has occurred", "CreateFleet")


class Only:
    """Launches so many of a fleet, and tells why there are no more."""

    def __init__(self, count: int, code: str, said: str = "no", **override: str) -> None:
        self._count = count
        self._error = {"ErrorCode": code, "ErrorMessage": said}
        self._override = {"Overrides": override}

    def __call__(self, call: Call, request: dict[str, Any]) -> Any:
        fewer = copy.deepcopy(request)
        wanted = fewer["TargetCapacitySpecification"]
        spot = wanted["SpotTargetCapacity"]
        wanted["TotalTargetCapacity"] = self._count
        wanted["OnDemandTargetCapacity"] = min(self._count, wanted["OnDemandTargetCapacity"])
        wanted["SpotTargetCapacity"] = self._count - wanted["OnDemandTargetCapacity"]
        answer = call(**fewer) if self._count else {"FleetId": "fleet-1", "Instances": []}
        lifecycle = "spot" if spot else "on-demand"
        error = {
            **self._error,
            "Lifecycle": lifecycle,
            "LaunchTemplateAndOverrides": self._override,
        }
        return {**answer, "Errors": [error]}


only = Only


class Killed(BaseException):
    """The scaler was killed here."""


def killed_before(call: Call, request: dict[str, Any]) -> Any:
    """Kill the scaler before its call reaches anybody."""
    raise Killed


def killed_after(call: Call, request: dict[str, Any]) -> Any:
    """Kill the scaler when its call was carried out."""
    call(**request)
    raise Killed


class FaultyEc2:
    """A client that carries out each call but for the faults planned for it.

    It honours client tokens, as AWS does and emulators don't.

    Attributes:
        calls: each call that was made, with its parameters.
        hidden: the instances that looks miss.
        stale: what looks say instead of an instance's state.
        reasons: why instances ended: code and message.
    """

    def __init__(self, ec2: EC2Client) -> None:
        self._ec2 = ec2
        self._faults: dict[str, deque[Fault]] = {}
        self._answers: dict[str, tuple[dict[str, Any], Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.hidden: set[str] = set()
        self.stale: dict[str, str] = {}
        self.reasons: dict[str, tuple[str, str]] = {}

    @property
    def client(self) -> EC2Client:
        """It, as what it stands for."""
        return cast("EC2Client", self)

    def plan(self, operation: str, *faults: Fault) -> None:
        """Have the next calls of an operation go wrong."""
        self._faults.setdefault(operation, deque()).extend(faults)

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """Return the parameters of each call of an operation."""
        return [request for name, request in self.calls if name == operation]

    def __getattr__(self, operation: str) -> Call:
        def call(**request: Any) -> Any:
            self.calls.append((operation, request))
            faults = self._faults.get(operation)
            fault = faults.popleft() if faults else None
            once = self._once(getattr(self._ec2, operation))
            if request.get("ClientToken") in self._answers and _yields(fault):
                return once(**request)
            return fault(once, request) if fault else once(**request)

        return call

    def get_paginator(self, operation: str) -> Any:
        """Return something that pages as boto3 does."""
        return _Pages(self, operation)

    def pages(self, operation: str, request: dict[str, Any]) -> Iterator[Any]:
        """Yield the pages of an answer, as late as it may be."""
        self.calls.append((operation, request))
        faults = self._faults.get(operation)
        if faults:
            faults.popleft()(dict, request)
        for page in self._ec2.get_paginator("describe_instances").paginate(**request):
            for reservation in page["Reservations"]:
                reservation["Instances"] = [
                    each
                    for each in reservation["Instances"]
                    if each["InstanceId"] not in self.hidden
                ]
                for each in reservation["Instances"]:
                    if each["InstanceId"] in self.stale:
                        each["State"]["Name"] = cast("Any", self.stale[each["InstanceId"]])
                    if reason := self.reasons.get(each["InstanceId"]):
                        each["StateReason"] = {"Code": reason[0], "Message": reason[1]}
            yield page

    def _once(self, call: Call) -> Call:
        def once(**request: Any) -> Any:
            token = request.get("ClientToken")
            if token not in self._answers:
                answer = call(**request)
                if token is None:
                    return answer
                self._answers[token] = request, answer
            before, answer = self._answers[token]
            if before != request:
                raise client_error("IdempotentParameterMismatch", "other parameters", "CreateFleet")
            return answer

        return once


def _yields(fault: Fault | None) -> bool:
    """Whether a fault gives way to the answer that a token has had before."""
    if isinstance(fault, Refused):
        return not (fault.code in AT_THE_DOOR or fault.code.startswith("Idempotent"))
    return isinstance(fault, Only)


class _Pages:
    def __init__(self, ec2: FaultyEc2, operation: str) -> None:
        self._ec2 = ec2
        self._operation = operation

    def paginate(self, **request: Any) -> Iterator[Any]:
        return self._ec2.pages(self._operation, request)
