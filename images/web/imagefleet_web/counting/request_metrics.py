"""Counts the requests of an app."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from imagefleet_web import services

# Any other is the client's invention, and as a label a series of its own.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
UNKNOWN = "unknown"
_ALWAYS_WAITS = "plain.classify"
_STREAM = "text/event-stream"


def install(app: Flask) -> None:
    """Count and time the requests of `app`."""
    app.before_request(_begin)
    app.after_request(_count)


def _begin() -> None:
    g.counted_from = time.perf_counter()


def _count(response: Response) -> Response:
    metrics, endpoint = services.current().metrics, request.endpoint or UNKNOWN
    method = request.method if request.method in METHODS else UNKNOWN
    metrics.requests.labels(endpoint, method, response.status_code).inc()
    if not _may_wait(endpoint, response):
        seconds = time.perf_counter() - g.counted_from
        metrics.request_seconds.labels(endpoint).observe(seconds)
    return response


def _may_wait(endpoint: str, response: Response) -> bool:
    """Whether how long the request took tells of the fleet rather than of this tier."""
    asked = "wait" in request.args or "wait" in request.headers.get("Prefer", "")
    return asked or endpoint == _ALWAYS_WAITS or response.mimetype == _STREAM
