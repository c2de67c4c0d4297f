"""One log line a request, and the context that every other line of it carries."""

from __future__ import annotations

import time
from http import HTTPStatus

import structlog
from flask import Flask, Response, g, request

log = structlog.get_logger()


def install(app: Flask) -> None:
    """Log the requests of `app`: those that went well at DEBUG, as they log what they did."""
    app.before_request(_begin)
    app.after_request(_tell)


def _begin() -> None:
    # A server's thread answers one request after the other.
    structlog.contextvars.clear_contextvars()
    g.began = time.monotonic()


def _tell(response: Response) -> Response:
    tell = log.debug if response.status_code < HTTPStatus.BAD_REQUEST else log.info
    tell(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        seconds=round(time.monotonic() - g.began, 3),
    )
    return response
