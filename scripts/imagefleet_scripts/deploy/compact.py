"""A template as JSON without what is for people: CloudFormation takes 51,200 bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import yaml

# What readers and linters alone want; what parameters mean stands in the file.
_UNSENT = ("Metadata", "Description")


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's own tags as the functions that they are short for."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(cast(yaml.MappingNode, node), deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


cast(Callable[..., None], _Loader.add_multi_constructor)("!", _function)


@cache
def as_json(text: str) -> str:
    """Return a YAML template as the JSON that means the same, without what is for its readers."""
    body = _Loader(text).get_single_data()
    parts = (*body["Resources"].values(), *body["Parameters"].values(), *body["Outputs"].values())
    for part in (body, *parts):
        for name in _UNSENT:
            part.pop(name, None)
    return json.dumps(body, separators=(",", ":"))
