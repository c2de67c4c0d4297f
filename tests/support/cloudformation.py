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
    "Balancing": "",
    "BucketSuffix": f"-{ACCOUNT}-{REGION}",
    "ImageTag": "1.2.0",
    "Listener": "none",
    "LogGroup": PREFIX,
    "Network": "rtb-1|0.0.0.0/0 a b",
    "Prefix": PREFIX,
    "Settings": "IMAGEFLEET_TARGET_S=5|IMAGEFLEET_MAX_WORKERS=7",
    "Subnets": "subnet-1,subnet-2",
    "ScalerRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/scaler",
    "Targets": "",
    "Types": "c7i.large,c6i.large",
    "WebRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/web",
    "WorkerGpu": "false",
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
    return yaml.load(template.readable(), _Loader)  # a safe loader of our own


def variant(**given: str) -> dict[str, Any]:
    """Return the resources that a stack with these parameters has, by their names.

    Conditions are settled; of the functions, those that name resources stay as `fleet` leaves them.
    """
    body = fleet()
    parameters = {name: str(about["Default"]) for name, about in body["Parameters"].items()}
    settle = _Settled({**parameters, **given}, body["Conditions"])
    return {
        name: settle(about)
        for name, about in body["Resources"].items()
        if settle.holds(about.get("Condition"))
    }


class _Settled:
    """Settles what depends on conditions."""

    def __init__(self, parameters: dict[str, str], conditions: dict[str, Any]) -> None:
        self._parameters = parameters
        self._conditions = conditions

    def holds(self, condition: Any) -> bool:
        """Return whether a condition holds, by its name or as a function; None always does."""
        if condition is None:
            return True
        if isinstance(condition, str):
            return self.holds(self._conditions[condition.strip("<>")])
        ((name, of),) = condition.items()
        if name == "Equals":
            one, other = map(self._value, of)
            return bool(one == other)
        held = [self.holds(each) for each in of]
        return {"And": all(held), "Or": any(held), "Not": not all(held)}[name]

    def _value(self, of: Any) -> Any:
        """Return a parameter's value where it is named, as `<name>` or as it stands in `NAMES`."""
        names = {value: name for name, value in NAMES.items() if name in self._parameters}
        name = names.get(of, of.strip("<>")) if of else of
        return self._parameters.get(name, of)

    def __call__(self, of: Any) -> Any:
        if isinstance(of, list):
            return [each for each in map(self, of) if each != "<AWS::NoValue>"]
        if not isinstance(of, dict):
            return of
        if set(of) == {"If"}:
            condition, yes, no = of["If"]
            return self(yes if self.holds(condition.strip("<>")) else no)
        found = {name: self(each) for name, each in of.items()}
        return {name: each for name, each in found.items() if each != "<AWS::NoValue>"}


def user_data(resource: str) -> str:
    """Return the user data of a launch template, as an instance gets it."""
    data = fleet()["Resources"][resource]["Properties"]["LaunchTemplateData"]
    return str(data["UserData"]["Fn::Base64"])


def files(resource: str) -> dict[str, str]:
    """Return the files that an instance of a launch template writes, by their paths."""
    config = yaml.safe_load(user_data(resource))
    return {each["path"]: each["content"] for each in config["write_files"]}


def allowed(role: str) -> list[dict[str, Any]]:
    """Return the statements of a role's policies that permit something."""
    return [each for each in statements(role) if each["Effect"] == "Allow"]


def statements(role: str) -> list[dict[str, Any]]:
    """Return all statements of a role's policies, also of those that stand by themselves."""
    resources = fleet()["Resources"]
    policies = [
        *resources[role]["Properties"]["Policies"],
        *(
            found["Properties"]
            for found in resources.values()
            if found["Type"] == "AWS::IAM::Policy" and f"<{role}>" in found["Properties"]["Roles"]
        ),
    ]
    return [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
