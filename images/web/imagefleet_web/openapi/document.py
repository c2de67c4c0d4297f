"""The whole description of an app's API, as a document of OpenAPI 3.1."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

from apispec import APISpec
from flask import Flask

from imagefleet_web import __version__, services
from imagefleet_web.openapi.operation import Operation, operation_of
from imagefleet_web.openapi.schemas import FromSettings, Schema, Schemas
from imagefleet_web.openapi.writing import Writer
from imagefleet_web.rights import access, cross_site
from imagefleet_web.serving import askers

_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
_SETTING = re.compile(r"\{(\w+)\}")

_ABOUT = """
Send pictures, get what is in them. All ids are text, all times are ISO 8601 in UTC, and every
error is a problem document (RFC 9457) with a `code` that is stable.
"""
_KEY_NEEDED = "This service asks for an API key."
_NO_KEY_NEEDED = "This service asks for no API key."


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, and the view that answers it."""

    rule: str
    method: str
    endpoint: str
    view: Callable[..., Any]

    @property
    def operation(self) -> Operation | None:
        """What the view says of itself, None where it says nothing."""
        return operation_of(self.view)

    @property
    def tag(self) -> str:
        """The name of its blueprint."""
        return self.endpoint.partition(".")[0]

    @property
    def path(self) -> str:
        """Its path as OpenAPI has it."""
        return _CONVERTER.sub(r"{\1}", self.rule)


def routes(app: Flask) -> Iterator[Route]:
    """Yield all that an app answers, but for HEAD and OPTIONS."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Route(rule.rule, method, rule.endpoint, app.view_functions[rule.endpoint])


def describe(app: Flask) -> Schema:
    """Return the document; it depends on the app's routes and settings alone."""
    settings, guarded = services.of(app).settings, services.of(app).keys is not None
    spec = _empty(guarded=guarded)
    writer = Writer(Schemas(spec.components))
    tags = set()
    for route in routes(app):
        if route.operation:
            written = writer.operation(
                route.endpoint,
                route.view,
                route.operation,
                in_path=_CONVERTER.findall(route.rule),
                guarded=guarded and route.endpoint not in access.OPEN,
                changes=not guarded and route.method not in cross_site.SAFE,
                asks=route.endpoint not in askers.ASK_NOBODY,
            )
            if route.endpoint in access.OPEN:
                written["security"] = []
            spec.path(path=route.path, operations={route.method.lower(): written})
            tags.add(route.tag)
    for name, blueprint in app.blueprints.items():
        if name in tags:
            about = cleandoc(sys.modules[blueprint.import_name].__doc__ or "")
            spec.tag({"name": name, "description": about})
    document: Schema = _filled(spec.to_dict(), dataclasses.asdict(settings))
    return document


def _empty(*, guarded: bool) -> APISpec:
    keys: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]
    spec = APISpec(
        title="Imagefleet",
        version=__version__,
        openapi_version="3.1.1",
        info={
            "summary": "What is in these pictures?",
            "description": f"{cleandoc(_ABOUT)}\n\n{_KEY_NEEDED if guarded else _NO_KEY_NEEDED}",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": "/"}],
        security=keys if guarded else [{}, *keys],
    )
    bearer = {"type": "http", "scheme": "bearer"}
    header = {"type": "apiKey", "in": "header", "name": "X-Api-Key"}
    spec.components.security_scheme("bearer", bearer).security_scheme("header", header)
    return spec


def _filled(value: Any, settings: Mapping[str, Any]) -> Any:
    """Return a part of the document with the settings that it names in their places."""
    match value:
        case FromSettings():
            return settings[value.name]
        case dict():
            filled = {key: _filled(each, settings) for key, each in value.items()}
            if isinstance(value.get("description"), str):
                filled["description"] = _told(value["description"], settings)
            return filled
        case list():
            return [_filled(each, settings) for each in value]
    return value


def _told(text: str, settings: Mapping[str, Any]) -> str:
    def tell(named: re.Match[str]) -> str:
        if named[1] not in settings:
            return named[0]
        value = settings[named[1]]
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"

    return _SETTING.sub(tell, text)
