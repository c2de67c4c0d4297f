"""The form of the answer that a request asks for."""

from __future__ import annotations

from flask import request

TEXT = "text/plain"
JSON = "application/json"


def wants_text() -> bool:
    """Whether to answer in plain text: at `POST /`, and to whoever prefers it to JSON."""
    if request.method == "POST" and request.path == "/":
        return True
    return request.accept_mimetypes.best_match([JSON, TEXT]) == TEXT
