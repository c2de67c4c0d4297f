"""What a load balancer or a container engine asks."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from imagefleet_web import services

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Tell that the process answers; nothing else is asked for that."""
    return {"status": "ok"}


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Tell whether an upload could be served now, and if not, why."""
    faults = services.current().readiness.faults()
    if faults:
        return {"status": "unavailable", "faults": faults}, 503
    return {"status": "ok"}
