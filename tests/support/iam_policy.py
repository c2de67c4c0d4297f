"""What IAM makes of a role's policies: whether they allow something, and by which of their words.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """One thing that a call needs to be allowed: most calls need one, a launch needs twenty.

    Attributes:
        context: the condition keys that AWS fills in.
    """

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """An action on a resource, both as a statement has them; either may have wildcards.

    Attributes:
        sid: the statement's name.
    """

    sid: str
    action: str
    resource: str


def grants(document: Document) -> set[Grant]:
    """Return all that a policy allows, under conditions or not."""
    allowed = [each for each in document["Statement"] if each["Effect"] == "Allow"]
    return {grant for statement in allowed for grant in _pairs(statement)}


def allowing(documents: Iterable[Document], asked: Asked) -> set[Grant]:
    """Return what of some policies allows something; it is refused if that is nothing.

    Raises:
        ValueError: a statement has what isn't evaluated here.
    """
    found: dict[str, set[Grant]] = {"Allow": set(), "Deny": set()}
    for statement in (each for document in documents for each in document["Statement"]):
        if unknown := statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}:
            raise ValueError(f"not evaluated here: {unknown}")
        if _holds(statement.get("Condition", {}), asked.context):
            found[statement["Effect"]] |= {
                pair
                for pair in _pairs(statement)
                if _matches(pair.action, asked.action, re.IGNORECASE)
                and _matches(pair.resource, asked.resource)
            }
    return set() if found["Deny"] else found["Allow"]


def _pairs(statement: Document) -> set[Grant]:
    return {
        Grant(statement["Sid"], action, resource)
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    }


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """Return whether all keys have one of their values; one that AWS doesn't fill in has none."""
    there = {key.lower(): value for key, value in context.items()}
    for operator, keys in condition.items():
        # No key here has several values, of which AWS would ask for any.
        if operator.removeprefix("ForAnyValue:") != "StringEquals":
            raise ValueError(f"not evaluated here: {operator}")
        for key, values in keys.items():
            if there.get(key.lower()) not in _listed(values):
                return False
    return True


def _matches(pattern: str, text: str, flags: int = 0) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, flags) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
