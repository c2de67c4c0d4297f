"""The fleet: what waits, who works on it, what the scaler decided, now or as it changes."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from imagefleet_web import problems, services, shapes, sse
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import JSON, Answer, described
from imagefleet_web.scaling import fleet_events
from imagefleet_web.scaling.fleet_objects import FleetObject

bp = Blueprint("fleet", __name__, url_prefix=f"{shapes.API}/fleet")


@bp.get("")
@described(
    Answer(200, "The fleet as the scaler wrote it down last.", {JSON: FleetObject}),
    errors=[problems.UNAVAILABLE],
)
def fleet() -> Response:
    """Tell of the fleet."""
    return jsonify(fleet_events.shape(services.current().fleet.look()))


@bp.get("/events", endpoint="fleet_events")
@described(
    Answer(
        200,
        "Server-sent events: a `fleet` at once and whenever it changes, of whose history only "
        "the points are told that the client does not have. The stream does not end by itself.",
        {"text/event-stream": str},
        events={"fleet": FleetObject},
    ),
    parameters=[parts.LAST_EVENT_ID],
    errors=[problems.UNAVAILABLE, problems.BUSY],
)
def events() -> Response:
    """Stream the fleet as it changes."""
    service = services.current()
    sight = service.fleet.look()
    return sse.answer(fleet_events.stream(service.fleet, sight, sse.last_id()))
