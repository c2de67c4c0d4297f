"""Holds answers against the API's own description: nothing is told that does not stand there."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import jsonschema_rs
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from imagefleet_web import services
from imagefleet_web.openapi.document import describe

_DOCUMENTS: dict[bool, Any] = {}


def check(app: Flask, method: str, path: str, answer: TestResponse) -> None:
    """Raise AssertionError unless an answer is one that its route says it gives."""
    try:
        rule, _ = app.url_map.bind("").match(path.partition("?")[0], method, return_rule=True)
    except HTTPException:
        return  # no route of ours
    guarded = services.of(app).keys is not None
    document = _DOCUMENTS.setdefault(guarded, describe(app))
    name = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
    operation = document["paths"].get(name, {}).get(method.lower().replace("head", "get"))
    if operation is None:
        return  # test_openapi tells which routes need not be described
    where = f"{method} {name}: @described(…) at the view {rule.endpoint} must say that"
    told = operation["responses"].get(str(answer.status_code))
    assert told, f"{where} it can answer {answer.status_code} ({answer.mimetype}): {_told(answer)}"
    media = "" if answer.status_code == 204 else answer.mimetype or ""
    if media:
        assert media in told.get("content", {}), f"{where} it answers {media}"
    if media.endswith("json") and method != "HEAD":
        errors = _validator(guarded, name, method, answer.status_code, media).iter_errors(
            answer.get_json(force=True)
        )
        assert not (found := [str(error) for error in errors]), f"{where} this is told: {found}"
    for header, about in told.get("headers", {}).items():
        assert header in answer.headers or not about["required"], f"{where} {header} may be missing"


@lru_cache
def _validator(guarded: bool, path: str, method: str, status: int, media: str) -> Any:
    document = _DOCUMENTS[guarded]
    response = document["paths"][path][method.lower()]["responses"][str(status)]
    closed = {
        name: schema | {"additionalProperties": False}
        for name, schema in document["components"]["schemas"].items()
    }
    schema = response["content"][media]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": {"schemas": closed}})


def _told(answer: TestResponse) -> str:
    return answer.text[:200] if (answer.mimetype or "").endswith("json") else ""
