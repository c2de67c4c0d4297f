"""A batch's results to take away, finished or not."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response

from imagefleet_web import exports, services, shapes
from imagefleet_web.ids import parse_batch
from imagefleet_web.streaming import whole_or_cut

bp = Blueprint("results", __name__, url_prefix=f"{shapes.API}/batches")


@bp.get("/<batch_id>/results.csv")
def results_csv(batch_id: str) -> Response:
    """Send a batch's results as CSV."""
    batch = parse_batch(batch_id)
    pieces = services.current().results.in_pieces(batch)
    return _file(exports.table(pieces), "text/csv", f"imagefleet-{batch}.csv")


@bp.get("/<batch_id>/results.jsonl")
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
