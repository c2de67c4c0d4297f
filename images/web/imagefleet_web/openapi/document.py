"""The whole description of an app's API, as a document of OpenAPI 3.1."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from inspect import cleandoc
from itertools import groupby
from typing import Any

from apispec import APISpec
from flask import Flask

from imagefleet_web import __version__, access, problems, services
from imagefleet_web.objects import ProblemDocument
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import (
    FORM,
    JSON,
    TEXT,
    Answer,
    Header,
    Model,
    Operation,
    Parameter,
    operation_of,
)
from imagefleet_web.openapi.schemas import FromSettings, Schema, Schemas
from imagefleet_web.problems import Kind

EVENTS = "text/event-stream"
# Every view may meet these.
OF_ALL = (problems.INTERNAL,)
# Those that are worth another try say when.
_RETRIED = {409, 429, 503}

_PATH_PARAMETERS = {each.name: each for each in (parts.BATCH_ID, parts.JOB_ID)}
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
_SETTING = re.compile(r"\{(\w+)\}")

_ABOUT = """
Send pictures, get what is in them. All ids are text, all times are ISO 8601 in UTC, and every
error is a problem document (RFC 9457) with a `code` that is stable.
"""
_KEY_NEEDED = "This service asks for an API key."
_NO_KEY_NEEDED = "This service asks for no API key."


def describe(app: Flask) -> Schema:
    """Return the document; it depends on the app's routes and settings alone."""
    settings, guarded = services.of(app).settings, services.of(app).keys is not None
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
        security=_security(guarded=guarded),
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme(
        "header", {"type": "apiKey", "in": "header", "name": "X-Api-Key"}
    )
    _Writer(app, spec, guarded=guarded).write_all()
    document: Schema = _filled(spec.to_dict(), dataclasses.asdict(settings))
    return document


def routes(app: Flask) -> Iterable[tuple[str, str, str, Callable[..., Any]]]:
    """Yield path, method, endpoint and view of all that an app answers, HEAD and OPTIONS aside."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.rule, method, rule.endpoint, app.view_functions[rule.endpoint]


class _Writer:
    def __init__(self, app: Flask, spec: APISpec, *, guarded: bool) -> None:
        self._app = app
        self._spec = spec
        self._schemas = Schemas(spec.components)
        self._guarded = guarded

    def write_all(self) -> None:
        tags = set()
        for rule, method, endpoint, view in routes(self._app):
            if operation := operation_of(view):
                tags.add(endpoint.partition(".")[0])
                self._spec.path(
                    path=_CONVERTER.sub(r"{\1}", rule),
                    operations={method.lower(): self._operation(endpoint, view, operation, rule)},
                )
        for name, blueprint in self._app.blueprints.items():
            if name in tags:
                about = cleandoc(sys.modules[blueprint.import_name].__doc__ or "")
                self._spec.tag({"name": name, "description": about})

    def _operation(
        self, endpoint: str, view: Callable[..., Any], operation: Operation, rule: str
    ) -> Schema:
        tag, _, name = endpoint.partition(".")
        summary, _, description = cleandoc(view.__doc__ or "").partition("\n")
        in_path = [_PATH_PARAMETERS[each] for each in _CONVERTER.findall(rule)]
        errors = [*operation.errors, *OF_ALL]
        written: Schema = {"operationId": name, "tags": [tag], "summary": summary.rstrip(".")}
        if description.strip():
            written["description"] = description.strip()
        if endpoint in access.OPEN:
            written["security"] = []
        elif self._guarded:
            errors.append(problems.UNAUTHORIZED)
        if parameters := [*in_path, *operation.parameters]:
            written["parameters"] = [self._parameter(each) for each in parameters]
        if operation.body:
            content = self._content(operation.body)
            if FORM in content:
                content[FORM]["encoding"] = {"file": {"contentType": ", ".join(parts.IMAGE_KINDS)}}
            written["requestBody"] = {"required": not operation.body_optional, "content": content}
        written["responses"] = {
            **{str(answer.status): self._answer(answer) for answer in operation.answers},
            **self._problems(errors, text_only=operation.text_only),
        }
        return written

    def _parameter(self, parameter: Parameter) -> Schema:
        return {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.place == "path",
            "description": parameter.description,
            "schema": self._schema(parameter.model),
        }

    def _answer(self, answer: Answer) -> Schema:
        written: Schema = {"description": answer.description}
        if answer.headers:
            written["headers"] = self._headers(answer.headers)
        if answer.content:
            written["content"] = self._content(answer.content)
        if answer.events:
            written["content"] = {EVENTS: {"schema": self._events(answer.events)}}
        if answer.links:
            written["links"] = {
                name: {"operationId": name, "parameters": dict(parameters)}
                for name, parameters in answer.links.items()
            }
        return written

    def _events(self, events: Mapping[str, Model]) -> Schema:
        """Return the schema of one event; before OpenAPI 3.2 it stands for each of them."""
        return {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "event": {"const": name},
                        "id": {"type": "string"},
                        "data": {
                            "type": "string",
                            "contentMediaType": JSON,
                            "contentSchema": self._schema(model),
                        },
                    },
                    "required": ["event", "data"],
                }
                for name, model in events.items()
            ]
        }

    def _headers(self, headers: Iterable[Header]) -> Schema:
        return {
            each.name: {
                "description": each.description,
                "required": each.always,
                "schema": self._schema(each.model),
            }
            for each in headers
        }

    def _content(self, content: Mapping[str, Any]) -> Schema:
        return {media: {"schema": self._schema(model)} for media, model in content.items()}

    def _problems(self, kinds: Iterable[Kind], *, text_only: bool) -> dict[str, Schema]:
        by_status = groupby(sorted(set(kinds), key=_by_status), key=lambda kind: kind.status)
        return {str(status): self._problem(status, [*of], text_only) for status, of in by_status}

    def _problem(self, status: int, kinds: list[Kind], text_only: bool) -> Schema:
        document = {
            "allOf": [
                self._schemas.of(ProblemDocument),
                {
                    "properties": {
                        "status": {"const": status},
                        "code": {"enum": [kind.code for kind in kinds]},
                    }
                },
            ]
        }
        text = {TEXT: {"schema": {"type": "string", "description": "A sentence."}}}
        written: Schema = {
            "description": "; ".join(f"`{kind.code}`: {kind.title}" for kind in kinds) + ".",
            "content": text if text_only else {problems.MEDIA_TYPE: {"schema": document}} | text,
        }
        if status in _RETRIED:
            written["headers"] = self._headers([parts.RETRY_AFTER])
        return written

    def _schema(self, model: Any) -> Schema:
        return model if isinstance(model, dict) else self._schemas.of(model)


def _by_status(kind: Kind) -> tuple[int, str]:
    return kind.status, kind.code


def _security(*, guarded: bool) -> list[dict[str, list[str]]]:
    keys: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]
    return keys if guarded else [{}, *keys]


def _filled(value: Any, settings: Mapping[str, Any]) -> Any:
    """Return a part of the document with the settings that it names in their places."""
    match value:
        case FromSettings():
            return settings[value.name]
        case dict():
            return {
                key: _told(each, settings) if key == "description" and isinstance(each, str)
                else _filled(each, settings)
                for key, each in value.items()
            }  # fmt: skip
        case list():
            return [_filled(each, settings) for each in value]
    return value


def _told(text: str, settings: Mapping[str, Any]) -> str:
    def tell(named: re.Match[str]) -> str:
        value = settings.get(named[1], named[0])
        return f"{value:g}" if isinstance(value, float) else f"{value:,}"

    return _SETTING.sub(tell, text)
