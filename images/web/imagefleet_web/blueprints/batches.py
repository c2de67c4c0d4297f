"""Where a whole batch stands, now or as its results arrive."""

from __future__ import annotations

import structlog
from flask import Blueprint, Response

from imagefleet_web import answers, events, problems, services, shapes
from imagefleet_web.ids import parse_batch
from imagefleet_web.problems import Problem
from imagefleet_web.waiting import asked_wait, wait_for

bp = Blueprint("batches", __name__, url_prefix=f"{shapes.API}/batches")


@bp.get("/<batch_id>")
def batch(batch_id: str) -> Response:
    """Tell where a batch stands, once it is finished if asked to wait."""
    service = services.current()
    parsed = _parse(batch_id)
    wait = asked_wait(service.settings.max_wait_s)
    standing = service.results.of_batch(parsed)
    headers = wait_for(standing, wait, service)
    return answers.of_jobs(shapes.summary(standing), shapes.jobs(standing), headers)


@bp.get("/<batch_id>/events")
def batch_events(batch_id: str) -> Response:
    """Stream a batch's results as they arrive."""
    service = services.current()
    standing = service.results.of_batch(_parse(batch_id))
    if not service.seats.take():
        raise Problem(problems.BUSY, "Too many requests wait for results. Try again soon.")
    response = Response(events.stream(service.hub, standing), mimetype="text/event-stream")
    response.call_on_close(service.seats.leave)
    # nginx would hold events back until its buffer is full.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _parse(batch_id: str) -> str:
    structlog.contextvars.bind_contextvars(batch=batch_id)
    return parse_batch(batch_id)
