"""Batches: those of the past, and where one stands, now or as its results arrive."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from imagefleet_web import access, answers, events, problems, services, shapes
from imagefleet_web.ids import parse_batch
from imagefleet_web.problems import Problem
from imagefleet_web.waiting import asked_wait, wait_for

bp = Blueprint("batches", __name__, url_prefix=f"{shapes.API}/batches")


DEFAULT_LIMIT, MOST = 20, 100


@bp.get("")
def batches() -> Response:
    """Tell of past batches, newest first; with keys, of one's own."""
    service = services.current()
    page = service.history.page(_asked_limit(), request.args.get("cursor"), access.owner())
    told = [shapes.past(*each) for each in service.results.counts(page.batches).items()]
    return jsonify(batches=told, cursor=page.cursor)


@bp.get("/<batch_id>")
def batch(batch_id: str) -> Response:
    """Tell where a batch stands, once it is finished if asked to wait."""
    service = services.current()
    parsed = parse_batch(batch_id)
    wait = asked_wait(service.settings.max_wait_s)
    standing = service.results.of_batch(parsed)
    headers = wait_for(standing, wait, service)
    return answers.of_jobs(shapes.summary(standing), shapes.jobs(standing), headers)


@bp.delete("/<batch_id>")
def delete_batch(batch_id: str) -> Response:
    """Delete a batch's images and results."""
    services.current().results.delete(parse_batch(batch_id))
    return Response(status=204)


@bp.get("/<batch_id>/events")
def batch_events(batch_id: str) -> Response:
    """Stream a batch's results as they arrive."""
    service = services.current()
    standing = service.results.of_batch(parse_batch(batch_id))
    if not service.seats.take():
        raise Problem(problems.BUSY, "Too many requests wait for results. Try again soon.")
    response = Response(events.stream(service.hub, standing), mimetype="text/event-stream")
    response.call_on_close(service.seats.leave)
    # nginx would hold events back until its buffer is full.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _asked_limit() -> int:
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= limit <= MOST:
        raise Problem(
            problems.BAD_LIMIT, f"limit={text[:80]} is no number of batches from 1 to {MOST}."
        )
    return limit
