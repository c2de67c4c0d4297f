"""Stands between the tiers and an emulator that enforces IAM, and sees that both judge alike.

    with Guard(emulator, rules) as guard:
        guard.know(access_key, role)
        ...  # whoever has the role's credentials uses guard.url as its AWS_ENDPOINT_URL
        assert guard.refused("worker") == []

It is the door with TLS, as the buckets' policy refuses whoever comes without. Calls to EC2 it
judges itself, by every resource and tag that AWS looks at; for the others it compares its own
judgement with the emulator's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

import iam_calls
from fault_proxy import Answer, Call, FaultProxy
from iam_policy import Asked, Document, Grant, allowing

# What MiniStack judges by one resource at most, or by none, and by no tags.
LEFT_TO_IT = re.compile(
    r"ec2:|ssm:(GetParametersByPath|DeleteParameters)$|cloudformation:\w+ChangeSet$"
)
_XML = (
    '<?xml version="1.0"?><Response><Errors><Error><Code>UnauthorizedOperation</Code>'
    "<Message>{}</Message></Error></Errors><RequestID>4442587FB7D0A2F9</RequestID></Response>"
)


@dataclass(frozen=True)
class Role:
    """A role as IAM has it: its name, and its policies."""

    name: str
    policies: Sequence[Document]


@dataclass(frozen=True)
class Judged:
    """What was needed for a call of a role, and what of its policies allows it, if anything."""

    role: str
    asked: Asked
    by: frozenset[Grant]


class Guard(FaultProxy):
    """A proxy that knows roles by the access keys of their sessions; others pass unjudged.

    Args:
        ec2_needs: tells what a call to EC2 needs, given its parameters.
    """

    def __init__(
        self, emulator: str, ec2_needs: Callable[[Mapping[str, str]], list[Asked]]
    ) -> None:
        self._roles: dict[str, Role] = {}
        self._ec2_needs = ec2_needs
        self.judged: list[Judged] = []
        super().__init__(emulator)

    def know(self, access_key: str, role: Role) -> None:
        """Judge the calls of an access key by a role."""
        self._roles[access_key] = role

    def refused(self, *roles: str) -> list[Asked]:
        """Return what roles asked for and may not have, so far."""
        return [each.asked for each in self.judged if each.role in roles and not each.by]

    def used(self, role: str) -> set[Grant]:
        """Return what of a role's policies was of use so far."""
        return {grant for each in self.judged if each.role == role for grant in each.by}

    def answer(self, call: Call) -> Answer:
        """Return what a call is answered."""
        signature = iam_calls.signature(call)
        role = self._roles.get(signature.access_key)
        if not role:
            return self._through_tls(call)
        needed = self._needed(call, signature.service)
        missing = self._judge(role, needed)
        if missing and LEFT_TO_IT.match(needed[0].action):
            return _refusal(missing[0])
        answer = self._through_tls(call)
        if signature.service == "s3" and answer.status == HTTPStatus.NOT_FOUND:
            # Or else AWS would not tell whether there is such an object, and answer 403.
            missing += self._judge(role, [iam_calls.listing(call)])
        refused = answer.status == HTTPStatus.FORBIDDEN or b"AccessDenied" in answer.body[:300]
        if refused != bool(missing):
            self.trouble.append(
                AssertionError(f"{role.name}: {missing} is missing, but {answer.body[:500]!r}")
            )
        return answer

    def _needed(self, call: Call, service: str) -> list[Asked]:
        if service == "ec2":
            return self._ec2_needs(iam_calls.parameters(call))
        return iam_calls.needed(call, service)

    def _judge(self, role: Role, needed: Sequence[Asked]) -> list[Asked]:
        """Return what a role lacks."""
        judged = [
            Judged(role.name, each, frozenset(allowing(role.policies, each))) for each in needed
        ]
        self.judged += judged
        return [each.asked for each in judged if not each.by]

    def _through_tls(self, call: Call) -> Answer:
        return self._forward(replace(call, headers={**call.headers, "X-Forwarded-Proto": "https"}))


def _refusal(missing: Asked) -> Answer:
    says = f"You are not authorized to perform: {missing.action} on resource: {missing.resource}"
    if missing.action.startswith("ssm:"):
        body = json.dumps({"__type": "AccessDeniedException", "message": says})
        return Answer(400, [("Content-Type", "application/x-amz-json-1.1")], body.encode())
    return Answer(HTTPStatus.FORBIDDEN, [("Content-Type", "text/xml")], _XML.format(says).encode())
