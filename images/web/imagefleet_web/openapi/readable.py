"""The API's description for people: what the page at `/api/v1/docs` shows of the document."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from imagefleet_web.openapi.operation import FORM, JSON
from imagefleet_web.openapi.schemas import Schema
from imagefleet_web.openapi.shown import Call, Content, Model, Reply, Row, Section
from imagefleet_web.openapi.words import Words
from imagefleet_web.openapi.writing import EVENTS


class Reader:
    """Reads a document; `origin` stands in its commands."""

    def __init__(self, document: Schema, origin: str) -> None:
        self._document = document
        self._origin = origin
        self._schemas: Mapping[str, Schema] = document["components"]["schemas"]
        self._words = Words(self._schemas)

    def sections(self) -> list[Section]:
        """Return all calls, by their subjects."""
        calls = [
            (operation["tags"], self._call(method.upper(), path, operation))
            for path, methods in self._document["paths"].items()
            for method, operation in methods.items()
        ]
        return [
            Section(
                tag["name"],
                tag["description"],
                [call for tags, call in calls if tag["name"] in tags],
            )
            for tag in self._document["tags"]
        ]

    def models(self) -> list[Model]:
        """Return all objects."""
        return [
            Model(
                name,
                schema["description"],
                [
                    self._row(each, part, "" if each in schema["required"] else "not always")
                    for each, part in schema["properties"].items()
                ],
            )
            for name, schema in self._schemas.items()
        ]

    def _call(self, method: str, path: str, operation: Schema) -> Call:
        replies = [
            (self._reply(status, response), _is_problem(status, response))
            for status, response in operation["responses"].items()
        ]
        security = (operation if "security" in operation else self._document)["security"]
        guarded = bool(security) and {} not in security
        return Call(
            id=operation["operationId"],
            method=method,
            path=path,
            summary=operation["summary"],
            description=operation.get("description", ""),
            guarded=guarded,
            command=self._command(method, path, operation, guarded=guarded),
            parameters=[
                self._row(each["name"], each, each["in"])
                for each in operation.get("parameters", [])
            ],
            bodies=self._contents(operation.get("requestBody", {})),
            replies=[reply for reply, is_problem in replies if not is_problem],
            problems=[reply for reply, is_problem in replies if is_problem],
        )

    def _reply(self, status: str, response: Schema) -> Reply:
        headers = response.get("headers", {}).items()
        content = response.get("content", {})
        return Reply(
            status=status,
            description=response["description"],
            headers=[
                self._row(name, each, "" if each["required"] else "not always")
                for name, each in headers
            ],
            contents=[] if EVENTS in content else self._contents(response),
            events=[self._event(each) for each in content[EVENTS]["schema"]["anyOf"]]
            if EVENTS in content
            else [],
        )

    def _event(self, schema: Schema) -> Row:
        parts = schema["properties"]
        return Row(parts["event"]["const"], self._words.kind(parts["data"]["contentSchema"]), "")

    def _contents(self, holder: Schema) -> list[Content]:
        """Return the forms of a body; media types of the same one stand together."""
        content = holder.get("content", {}).items()
        return [
            self._content(", ".join(media for media, _ in same), schema)
            for schema, same in groupby(content, key=lambda each: each[1]["schema"])
        ]

    def _content(self, media: str, schema: Schema) -> Content:
        example = self._words.example(schema) if media.endswith("json") else None
        return Content(
            media=media,
            kind=self._words.kind(schema),
            description=schema.get("description", ""),
            example=json.dumps(example, indent=2, ensure_ascii=False) if example else "",
        )

    def _row(self, name: str, part: Schema, note: str = "") -> Row:
        kind = self._words.kind(part.get("schema", part))
        return Row(name, kind, part.get("description", ""), note)

    def _command(self, method: str, path: str, operation: Schema, *, guarded: bool) -> str:
        words = ["curl"]
        content: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
        if guarded:
            words += ["-H", '"Authorization: Bearer $KEY"']
        if FORM in content:
            words += ["-F", "file=@cat.jpg"]
        elif JSON in content:
            example = self._words.example(content[JSON]["schema"])
            words += ["--json", shlex.quote(json.dumps(example))]
        elif method != "GET":
            words += ["-X", method]
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                example = self._words.example(parameter["schema"])
                path = path.replace(f"{{{parameter['name']}}}", example)
        return " ".join([*words, self._origin + path])


def _is_problem(status: str, response: Schema) -> bool:
    return status >= "400" and JSON not in response.get("content", {})
