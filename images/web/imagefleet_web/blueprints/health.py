"""What a load balancer or a container engine asks."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from imagefleet_web import services
from imagefleet_web.objects import Faults, Health
from imagefleet_web.openapi.operation import JSON, Answer, described

bp = Blueprint("health", __name__)

_FULL = {"threads": "as many requests are being served as can be"}


@bp.get("/healthz")
@described(Answer(200, "It answers.", {JSON: Health}))
def healthz() -> ResponseReturnValue:
    """Tell that the process answers; nothing else is asked for that."""
    return Health(status="ok"), 200


@bp.get("/readyz")
@described(
    Answer(200, "An upload could be served.", {JSON: Health}),
    Answer(503, "None could be, and why.", {JSON: Faults}),
)
def readyz() -> ResponseReturnValue:
    """Tell whether an upload could be served now, and if not, why."""
    service = services.current()
    with service.askers.held() as seated:
        faults = service.readiness.faults() if seated else _FULL
    if faults:
        return Faults(status="unavailable", faults=faults), 503
    return Health(status="ok"), 200
