"""JSON Schemas of the types that the API's objects are made as.

OpenAPI 3.1 takes JSON Schema 2020-12 as it is. https://spec.openapis.org/oas/v3.1.1#schema-object
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from apispec.core import Components

Schema = dict[str, Any]

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class FromSettings:
    """Stands in a schema for the value of a setting."""

    name: str


class About:
    """What a schema says beside its type: `Annotated[str, About("the file's name")]`.

    Attributes:
        keywords: further keywords of JSON Schema, such as `minimum`.
    """

    def __init__(self, description: str = "", **keywords: Any) -> None:
        self.keywords = {"description": description, **keywords} if description else keywords


class Schemas:
    """Gives schemas of types; those of TypedDicts become components, which others refer to."""

    def __init__(self, components: Components) -> None:
        self._components = components

    def of(self, kind: Any) -> Schema:
        """Return the schema of a type; raises TypeError for one that has none here."""
        if kind in _SIMPLE:
            return {"type": _SIMPLE[kind]}
        if kind is Any:
            return {}
        if is_typeddict(kind):
            return self._reference(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            keywords = [each.keywords for each in arguments[1:] if isinstance(each, About)]
            return dict(
                self.of(arguments[0]), **{k: v for each in keywords for k, v in each.items()}
            )
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return _any_of([self.of(each) for each in arguments])
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        raise TypeError(f"{kind!r} has no schema")

    def _reference(self, kind: Any) -> Schema:
        name = kind.__name__
        if name not in self._components.schemas:
            # Known by its name first, as a type may hold others of its own.
            self._components.schema(name)
            self._components.schemas[name].update(self._object(kind))
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, kind: Any) -> Schema:
        properties, required = {}, []
        for name, hint in get_type_hints(kind, include_extras=True).items():
            if get_origin(hint) is NotRequired:
                (hint,) = get_args(hint)
            else:
                required.append(name)
            properties[name] = self.of(hint)
        return {
            "type": "object",
            "description": cleandoc(kind.__doc__),
            "properties": properties,
            "required": required,
        }


def _any_of(schemas: list[Schema]) -> Schema:
    if all(each.keys() == {"type"} for each in schemas):
        return {"type": [each["type"] for each in schemas]}
    return {"anyOf": schemas}
