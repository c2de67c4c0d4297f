"""Server-sent events: how they are written, and the answer that carries them.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Response, request

from imagefleet_web import problems, services
from imagefleet_web.problems import Problem
from imagefleet_web.serving.presence import Gone, client_gone

# A comment that often keeps proxies from closing the stream, and shows when the client is gone:
# only then are its thread and seat free again.
HEARTBEAT_S = 5.0
ALIVE = ": alive\n\n"
# What every stream begins with: milliseconds after which to open it again.
RETRY = "retry: 2000\n\n"


def event(name: str, data: Mapping[str, Any], event_id: str = "") -> str:
    """Return an event; where it has an id, a client that reconnects tells that of the last."""
    told = f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
    return f"id: {event_id}\n{told}" if event_id else told


def last_id() -> str:
    """Return the id of the last event that a client has which reconnects."""
    return request.headers.get("Last-Event-ID", "")


def answer(stream: Iterator[str]) -> Response:
    """Return an answer that takes a seat for as long as its client listens.

    Raises:
        Problem: no seat is free.
    """
    seats = services.current().seats
    if not seats.take():
        raise Problem(problems.BUSY, "Too many requests wait for results. Try again soon.")
    response = Response(_while_there(stream, client_gone()), mimetype="text/event-stream")
    response.call_on_close(seats.leave)
    # nginx would hold events back until its buffer is full.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _while_there(stream: Iterator[str], gone: Gone) -> Iterator[str]:
    """Pass events on; writing one to a client that is gone would go well the first time."""
    for piece in stream:
        if gone():
            return
        yield piece
