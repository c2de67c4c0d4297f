"""Writes down what a view says of itself as an operation of OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import cleandoc
from itertools import groupby
from typing import Any

from imagefleet_web import problems
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
)
from imagefleet_web.openapi.schemas import Schema, Schemas
from imagefleet_web.problems import Kind

EVENTS = "text/event-stream"
# Those that are worth another try say when.
_RETRIED = {409, 429, 503}

_PATH_PARAMETERS = {each.name: each for each in (parts.BATCH_ID, parts.JOB_ID)}


class Writer:
    """Writes operations, whose schemas are kept as components."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def operation(
        self,
        endpoint: str,
        view: Callable[..., Any],
        operation: Operation,
        *,
        in_path: Iterable[str],
        guarded: bool,
        changes: bool = False,
        asks: bool = False,
    ) -> Schema:
        """Return an operation.

        Args:
            in_path: the names of the parameters in the route's path.
            guarded: whether it needs a key.
            changes: whether its method may change something.
            asks: whether it asks AWS, for which there is not always a thread.
        """
        tag, _, name = endpoint.partition(".")
        summary, _, description = cleandoc(view.__doc__ or "").partition("\n")
        written: Schema = {"operationId": name, "tags": [tag], "summary": summary.rstrip(".")}
        if description.strip():
            written["description"] = description.strip()
        parameters = [*(_PATH_PARAMETERS[each] for each in in_path), *operation.parameters]
        if parameters:
            written["parameters"] = [self._parameter(each) for each in parameters]
        if operation.body:
            written["requestBody"] = self._body(operation)
        ours = [problems.INTERNAL]
        if guarded:
            ours.append(problems.UNAUTHORIZED)
        elif changes:
            ours.append(problems.CROSS_SITE)
        if asks:
            ours.append(problems.BUSY)
        responses = {str(answer.status): self._answer(answer) for answer in operation.answers}
        responses |= self._problems([*operation.errors, *ours], text_only=operation.text_only)
        written["responses"] = dict(sorted(responses.items()))
        return written

    def _parameter(self, parameter: Parameter) -> Schema:
        return {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.place == "path",
            "description": parameter.description,
            "schema": self._schema(parameter.model),
        }

    def _body(self, operation: Operation) -> Schema:
        content = self._content(operation.body)
        if FORM in content:
            content[FORM]["encoding"] = {"file": {"contentType": ", ".join(parts.IMAGE_KINDS)}}
        return {"required": not operation.body_optional, "content": content}

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

    def _content(self, content: Mapping[str, Model]) -> Schema:
        return {media: {"schema": self._schema(model)} for media, model in content.items()}

    def _problems(self, kinds: Iterable[Kind], *, text_only: bool) -> dict[str, Schema]:
        by_status = groupby(sorted(set(kinds), key=_by_status), key=lambda kind: kind.status)
        return {str(status): self._problem(status, [*of], text_only) for status, of in by_status}

    def _problem(self, status: int, kinds: list[Kind], text_only: bool) -> Schema:
        codes = {"status": {"const": status}, "code": {"enum": [kind.code for kind in kinds]}}
        document = {"allOf": [self._schemas.of(ProblemDocument), {"properties": codes}]}
        text = {TEXT: {"schema": {"type": "string", "description": "A sentence."}}}
        both = {problems.MEDIA_TYPE: {"schema": document}} | text
        written: Schema = {
            "description": "; ".join(f"`{kind.code}`: {kind.title}" for kind in kinds) + ".",
            "content": text if text_only else both,
        }
        if status in _RETRIED:
            written["headers"] = self._headers([parts.RETRY_AFTER])
        return written

    def _schema(self, model: Model) -> Schema:
        return model if isinstance(model, dict) else self._schemas.of(model)


def _by_status(kind: Kind) -> tuple[int, str]:
    return kind.status, kind.code
