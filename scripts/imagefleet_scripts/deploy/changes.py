"""What is about to change in a stack: change sets, and the parameters that go into them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import yaml

from imagefleet_core.stack import StackError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import (
        DescribeChangeSetOutputTypeDef,
        ParameterTypeDef,
        StackTypeDef,
    )

# Nothing in it has CloudFormation's own tags, and the rest of a template takes a while to read.
_SECTION = re.compile(r"^Parameters:.*\n?(?:(?:[ \t].*)?\n)*", re.MULTILINE)
# What a change set says that has nothing in it.
_NOTHING = ("didn't contain changes", "No updates are to be performed", "no changes")


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that is to be changed.

    Attributes:
        action: Add, Modify, Remove.
        replacement: whether what is there goes; Conditional where only AWS will know.
    """

    action: str
    resource: str
    kind: str
    replacement: str = ""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Changes that CloudFormation has worked out and not begun with."""

    id: str
    changes: list[Change]


def propose(
    api: CloudFormationClient,
    name: str,
    body: str,
    given: Mapping[str, str],
    before: StackTypeDef | None,
    wait: Callable[[Callable[[], tuple[bool, str]]], str],
) -> ChangeSet:
    """Make a change set.

    Args:
        before: the stack as it is, None for one to be created.
        wait: returns when what it is given says so; the text tells what is being waited for.

    Raises:
        StackError: CloudFormation refused the template or a parameter; with its reason.
    """
    answer = api.create_change_set(
        StackName=name,
        ChangeSetName=f"deploy-{uuid.uuid4().hex[:12]}",
        ChangeSetType="UPDATE" if before else "CREATE",
        TemplateBody=body,
        Parameters=_parameters(body, given, before),
        Capabilities=["CAPABILITY_IAM"],
    )
    seen: list[DescribeChangeSetOutputTypeDef] = []

    def made() -> tuple[bool, str]:
        seen[:] = [api.describe_change_set(ChangeSetName=answer["Id"])]
        status = seen[0]["Status"]
        return status == "FAILED" or status.endswith("_COMPLETE"), status

    wait(made)
    if seen[0]["Status"] != "FAILED":
        return ChangeSet(answer["Id"], list(_changes(api, answer["Id"])))
    reason = seen[0].get("StatusReason", "no reason was given")
    if any(each in reason for each in _NOTHING):
        return ChangeSet(answer["Id"], [])
    api.delete_change_set(ChangeSetName=answer["Id"])
    raise StackError(f"{name}: {' '.join(reason.split())}")


def _changes(api: CloudFormationClient, change_set: str) -> Iterator[Change]:
    pages = api.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
    for found in (each for page in pages for each in page.get("Changes", ())):
        one = found["ResourceChange"]
        yield Change(
            one["Action"], one["LogicalResourceId"], one["ResourceType"], one.get("Replacement", "")
        )


@cache
def known_parameters(body: str) -> Mapping[str, object]:
    """Return the parameters that a template has, each with its default, None for none."""
    if body.startswith("{"):
        found = json.loads(body).get("Parameters", {})
    else:
        section = _SECTION.search(body)
        found = yaml.safe_load(section[0])["Parameters"] if section else {}
    return {name: about.get("Default") for name, about in found.items()}


def values(found: StackTypeDef | None) -> dict[str, str]:
    """Return the parameters that a stack has, by their names."""
    parameters = found.get("Parameters", ()) if found else ()
    return {each["ParameterKey"]: each.get("ParameterValue", "") for each in parameters}


def _parameters(
    body: str, given: Mapping[str, str], before: StackTypeDef | None
) -> list[ParameterTypeDef]:
    had = values(before)
    return [
        {"ParameterKey": name, "ParameterValue": given[name]}
        if name in given
        else {"ParameterKey": name, "UsePreviousValue": True}
        for name in known_parameters(body)
        if name in given or name in had
    ]
