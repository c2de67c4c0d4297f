"""This description of the API, for programs and for people."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from flask import Blueprint, Response, current_app, render_template, request
from markupsafe import Markup, escape

from imagefleet_web import __version__, shapes
from imagefleet_web.openapi.document import describe
from imagefleet_web.openapi.operation import JSON, Answer, described
from imagefleet_web.openapi.readable import Reader
from imagefleet_web.openapi.schemas import Schema

bp = Blueprint("docs", __name__, url_prefix=shapes.API)

_NAME = "imagefleet_openapi"
_CODE = re.compile(r"`([^`]+)`")


@bp.get("/openapi.json")
@described(Answer(200, "The document, in OpenAPI 3.1.", {JSON: dict[str, Any]}))
def openapi() -> Response:
    """Describe the API for programs."""
    return Response(json.dumps(_document(), ensure_ascii=False), mimetype=JSON)


@bp.get("/docs")
@described(Answer(200, "The page.", {"text/html": str}))
def readable() -> str:
    """Describe the API for people."""
    document, origin = _document(), request.host_url.rstrip("/")
    reader = Reader(document, origin)
    return render_template(
        "docs.html",
        info=document["info"],
        sections=reader.sections(),
        models=reader.models(),
        version=__version__,
    )


@bp.app_template_filter("code")
def code(text: str) -> Markup:
    """Show what stands in backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # escaped above


def _document() -> Schema:
    """Return the description of this app, made when it is first asked for."""
    if _NAME not in current_app.extensions:
        current_app.extensions[_NAME] = describe(current_app)
    return cast(Schema, current_app.extensions[_NAME])
