"""A batch's results to take away, finished or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Blueprint, Response

from imagefleet_web import services, shapes
from imagefleet_web.ids import parse_batch
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import Answer, Header, View, described
from imagefleet_web.serving.streaming import whole_or_cut
from imagefleet_web.telling import exports

bp = Blueprint("results", __name__, url_prefix=f"{shapes.API}/batches")


_DISPOSITION = Header("Content-Disposition", str, "A name for the file.")


def _described(kind: str, description: str) -> Callable[[View], View]:
    answer = Answer(200, description, {kind: str}, [_DISPOSITION])
    return described(answer, errors=parts.OF_BATCHES)


@bp.get("/<batch_id>/results.csv")
@_described("text/csv", f"A row for each image, finished or not: {', '.join(exports.COLUMNS)}.")
def results_csv(batch_id: str) -> Response:
    """Send a batch's results as CSV."""
    batch = parse_batch(batch_id)
    pieces = services.current().results.in_pieces(batch)
    return _file(exports.table(pieces), "text/csv", f"imagefleet-{batch}.csv")


@bp.get("/<batch_id>/results.jsonl")
@_described("application/jsonl", "A job's object on each line.")
def results_jsonl(batch_id: str) -> Response:
    """Send a batch's results as JSON Lines."""
    batch = parse_batch(batch_id)
    pieces = services.current().results.in_pieces(batch)
    # The media type that most use; none is registered. https://jsonlines.org
    return _file(exports.lines(pieces), "application/jsonl", f"imagefleet-{batch}.jsonl")


def _file(content: Iterator[str], kind: str, name: str) -> Response:
    response = Response(whole_or_cut(content), content_type=f"{kind}; charset=utf-8")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
