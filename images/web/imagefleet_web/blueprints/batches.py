"""Batches: those of the past, and where one stands, now or as its results arrive."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, jsonify, request

from imagefleet_web import answers, problems, services, shapes, sse
from imagefleet_web.ids import parse_batch
from imagefleet_web.objects import Batch, BatchSummary, Job, PastBatches
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import JSON, Answer, Parameter, described
from imagefleet_web.openapi.schemas import About
from imagefleet_web.problems import Problem
from imagefleet_web.rights import access
from imagefleet_web.telling import events
from imagefleet_web.telling.waiting import asked_wait, wait_for

bp = Blueprint("batches", __name__, url_prefix=f"{shapes.API}/batches")


DEFAULT_LIMIT, MOST = 20, 100

_LIMIT = Parameter(
    "limit",
    "query",
    Annotated[int, About(minimum=1, maximum=MOST, default=DEFAULT_LIMIT)],
    "How many at most.",
)
_CURSOR = Parameter("cursor", "query", str, "That of the page before.")


@bp.get("")
@described(
    Answer(200, "A page of them.", {JSON: PastBatches}),
    parameters=[_LIMIT, _CURSOR],
    errors=[problems.BAD_LIMIT, problems.BAD_CURSOR, problems.UNAVAILABLE, problems.BUSY],
)
def batches() -> Response:
    """Tell of past batches, newest first; with keys, of one's own."""
    service = services.current()
    page = service.history.page(_asked_limit(), request.args.get("cursor"), access.owner())
    told = [shapes.past(*each) for each in service.sums.of(page.batches).items()]
    return jsonify(PastBatches(batches=told, cursor=page.cursor))


@bp.get("/<batch_id>")
@described(
    Answer(
        200,
        "The batch as it stands.",
        {JSON: Batch, **parts.LINES},
        headers=parts.OF_WAITS,
    ),
    parameters=[parts.WAIT, parts.PREFER],
    errors=[*parts.OF_BATCHES, problems.BAD_WAIT],
)
def batch(batch_id: str) -> Response:
    """Tell where a batch stands, once it is finished if asked to wait."""
    service = services.current()
    parsed = parse_batch(batch_id)
    wait = asked_wait(service.settings.max_wait_s)
    standing = service.results.of_batch(parsed)
    headers = wait_for(standing, wait, service)
    return answers.of_batch(shapes.batch(standing), headers)


@bp.delete("/<batch_id>")
@described(
    Answer(204, "They are deleted, now or earlier."),
    errors=[problems.BAD_ID, problems.NOT_FOUND, problems.UNAVAILABLE],
)
def delete_batch(batch_id: str) -> Response:
    """Delete a batch's images and results."""
    service, batch = services.current(), parse_batch(batch_id)
    service.results.delete(batch)
    service.sums.forget(batch)
    if service.callbacks:
        service.callbacks.keeper.drop(batch)
    return Response(status=204)


@bp.get("/<batch_id>/events")
@described(
    Answer(
        200,
        "Server-sent events: a `result` for each job, those known first, and an `end` after the "
        "last. A stream that stops without it is to be opened again, with `Last-Event-ID`.",
        events={"result": Job, "end": BatchSummary},
    ),
    parameters=[parts.LAST_EVENT_ID],
    errors=[*parts.OF_BATCHES, problems.BUSY],
)
def batch_events(batch_id: str) -> Response:
    """Stream a batch's results as they arrive."""
    service = services.current()
    standing = service.results.of_batch(parse_batch(batch_id))
    return sse.answer(events.stream(service.hub, standing, sse.last_id()))


def _asked_limit() -> int:
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= limit <= MOST:
        raise Problem(
            problems.BAD_LIMIT, f"limit={text[:80]} is no number of batches from 1 to {MOST}."
        )
    return limit
