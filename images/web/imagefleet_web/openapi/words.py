"""Schemas for people: what they ask for in words, and an example of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagefleet_web.openapi.schemas import Schema

_EXAMPLES = {"string": "…", "integer": 1, "number": 0.5, "boolean": True, "null": None}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is, in words, and the name of the object that it is or holds."""

    words: str
    model: str | None = None


class Words:
    """Knows the components that schemas refer to."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._schemas = schemas

    def kind(self, schema: Schema) -> Kind:
        """Return what a schema asks for."""
        match schema:
            case {"$ref": reference}:
                name = _name(reference)
                return Kind(name, name)
            case {"anyOf": [*choices]} | {"allOf": [*choices, _]}:
                kinds = [self.kind(each) for each in choices]
                models = [kind.model for kind in kinds if kind.model]
                return Kind(" or ".join(kind.words for kind in kinds), next(iter(models), None))
            case {"type": "array", "items": items}:
                kind = self.kind(items)
                return Kind(f"list of {kind.words}", kind.model)
            case {"enum": values}:
                return Kind(" or ".join(json.dumps(value) for value in values))
            case {"contentMediaType": _}:
                return Kind("file")
            case {"type": [*types]}:
                return Kind(" or ".join(types))
        return Kind(_bounded(schema))

    def example(self, schema: Schema) -> Any:
        """Return a value that a schema takes, from the examples of its parts."""
        match schema:
            case {"$ref": reference}:
                return self.example(self._schemas[_name(reference)])
            case {"examples": [first, *_]} | {"enum": [first, *_]}:
                return first
            case {"anyOf": [first, *_]} | {"allOf": [first, *_]}:
                return self.example(first)
            case {"type": "array", "items": items}:
                return [self.example(items)]
            case {"properties": properties, "required": required}:
                return {
                    name: self.example(each)
                    for name, each in properties.items()
                    if name in required
                }
            case {"type": [first, *_]}:
                return _EXAMPLES.get(first, {})
        return _EXAMPLES.get(schema.get("type", ""), {})


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _bounded(schema: Schema) -> str:
    words = str(schema.get("type", "anything"))
    if "minimum" in schema and "maximum" in schema:
        return f"{words}, {schema['minimum']} to {schema['maximum']}"
    if "minimum" in schema:
        return f"{words}, at least {schema['minimum']}"
    return f"{words} ({schema['format']})" if "format" in schema else words
