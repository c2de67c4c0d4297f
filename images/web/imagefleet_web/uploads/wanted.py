"""The list of files for which a request asks forms: JSON, checked here."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.uploads import formats
from imagefleet_web.uploads.presigning import Wanted
from imagefleet_web.uploads.receiving import not_received

# Ten thousand files with their names.
MOST_BODY_BYTES = 4 * 1024 * 1024
UNKNOWN = "application/octet-stream"
TYPES = tuple(formats.content_type(name) for name in formats.NAMES)
_TYPES_OF = {f".{kind.partition('/')[2]}": kind for kind in TYPES} | {
    ".jpg": "image/jpeg",
    ".tif": "image/tiff",
}

_HOW_TO = 'Send JSON such as {"files": [{"name": "cat.jpg", "type": "image/jpeg"}]}'


def asked_files(request: Request, most: int) -> list[Wanted]:
    """Return the files that a request lists, at least one; without a body, one of no name.

    Args:
        most: how many there may be.

    Raises:
        Problem: the body is no such list, or not all of it can be had.
    """
    if request.mimetype == "multipart/form-data" or request.mimetype.startswith("image/"):
        raise Problem(
            problems.BAD_FILES, f"Images themselves are sent to /api/v1/upload. {_HOW_TO}."
        )
    files = _files(_body(request))
    if len(files) > most:
        raise Problem(problems.TOO_MANY_FILES, f"At most {most} files are accepted in one request.")
    return [_wanted(f"files[{i}]", file) for i, file in enumerate(files)]


def _body(request: Request) -> bytes:
    request.max_content_length = MOST_BODY_BYTES
    try:
        return request.get_data()
    except (OSError, ParseException, ClientDisconnected) as error:
        raise not_received("The list", error) from error


def _files(body: bytes) -> list[Any]:
    if not body.strip():
        return [{}]
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(problems.BAD_FILES, f"The body is no JSON. {_HOW_TO}.") from error
    files = asked.get("files", [{}]) if isinstance(asked, dict) else None
    if not isinstance(files, list) or not files:
        raise Problem(problems.BAD_FILES, f"The body lists no files. {_HOW_TO}.")
    return files


def _wanted(where: str, file: Any) -> Wanted:
    if not isinstance(file, dict):
        raise Problem(problems.BAD_FILES, f"{where} is no JSON object. {_HOW_TO}.")
    name, kind = _text(where, file, "name"), _text(where, file, "type").strip().lower()
    if not kind:
        kind = _TYPES_OF.get(PurePath(name).suffix.lower(), UNKNOWN)
    if kind not in (*TYPES, UNKNOWN):
        known = f"{', '.join(TYPES[:-1])} or {TYPES[-1]}"
        raise Problem(
            problems.UNSUPPORTED_FORMAT,
            f"{where} has the type {kind[:80]!r}, which is not {known}.",
        )
    return Wanted(name, kind)


def _text(where: str, file: dict[str, Any], field: str) -> str:
    value = file.get(field)
    if not isinstance(value, str | None):
        raise Problem(problems.BAD_FILES, f"{where}: its {field} is no text. {_HOW_TO}.")
    return value or ""
