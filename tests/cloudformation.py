"""infra/fleet.yaml as the tests look at it: its functions resolved as far as names go."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import yaml

from imagefleet_scripts.deploy import template

PREFIX, ACCOUNT, REGION = "pix", "123456789012", "eu-central-1"
NAMES = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": f"{PREFIX}-fleet",
    "AWS::URLSuffix": "amazonaws.com",
    "Allocation": "eipalloc-0123456789abcdef0",
    "BucketSuffix": f"-{ACCOUNT}-{REGION}",
    "ImageTag": "1.2.0",
    "LogGroup": PREFIX,
    "Network": "rtb-1|0.0.0.0/0 a b",
    "Prefix": PREFIX,
    "Settings": "IMAGEFLEET_TARGET_S=5|IMAGEFLEET_MAX_WORKERS=7",
    "Subnets": "subnet-1,subnet-2",
    "Types": "c7i.large,c6i.large",
    "WorkerIdleExitSeconds": "600",
}


class _Loader(yaml.SafeLoader):
    """Reads a template; what it can't resolve stands as `<name>`."""


def _tag(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value = str(loader.construct_scalar(node))
        return substituted(value) if name == "Sub" else NAMES.get(value, f"<{value}>")
    if isinstance(node, yaml.SequenceNode):
        found = loader.construct_sequence(node, deep=True)
        return substituted(found[0]) if name == "Sub" else {name: found}
    return {name: loader.construct_mapping(cast(yaml.MappingNode, node), deep=True)}


cast(Callable[..., None], _Loader.add_multi_constructor)("!", _tag)


def substituted(text: str) -> str:
    """Return a text as `Fn::Sub` leaves it."""
    filled = re.sub(r"\$\{([^!}]+)\}", lambda found: NAMES.get(found[1], f"<{found[1]}>"), text)
    return filled.replace("${!", "${")


@cache
def fleet() -> Any:
    """Return the template of the machines, read; nobody changes it."""
    return yaml.load(template.fleet(), _Loader)  # a safe loader of our own


def user_data(resource: str) -> str:
    """Return the user data of a launch template, as an instance gets it."""
    data = fleet()["Resources"][resource]["Properties"]["LaunchTemplateData"]
    return str(data["UserData"]["Fn::Base64"])


def files(resource: str) -> dict[str, str]:
    """Return the files that an instance of a launch template writes, by their paths."""
    config = yaml.safe_load(user_data(resource))
    return {each["path"]: each["content"] for each in config["write_files"]}


def allowed(role: str) -> list[dict[str, Any]]:
    """Return the statements of a role's policies."""
    policies = fleet()["Resources"][role]["Properties"]["Policies"]
    return [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
