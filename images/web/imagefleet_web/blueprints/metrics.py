"""What Prometheus scrapes."""

from __future__ import annotations

from flask import Blueprint, Response, request

from imagefleet_web import services

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
def metrics() -> Response:
    """Tell the figures of all processes of this server."""
    body, content_type = services.current().metrics.render(request.headers.get("Accept", ""))
    return Response(body, content_type=content_type)
