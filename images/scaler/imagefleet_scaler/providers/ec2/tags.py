"""The tags that a fleet is found by, set by the very call that launches an instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

FLEET = "imagefleet:fleet"
# Which call launched an instance, and from which version of the launch template.
LAUNCH = "imagefleet:launch"
TEMPLATE = "imagefleet:template"


def specifications(
    kinds: Iterable[str], *, fleet: str, token: str, version: int
) -> list[dict[str, Any]]:
    """Return what a launch is told to tag, each kind of thing alike."""
    tags = {
        "Name": f"{fleet}-worker",
        FLEET: fleet,
        LAUNCH: token,
        TEMPLATE: str(version),
    }
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": kind, "Tags": pairs} for kind in kinds]


def read(pairs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the tags of a described thing by their keys."""
    return {pair["Key"]: pair["Value"] for pair in pairs}
