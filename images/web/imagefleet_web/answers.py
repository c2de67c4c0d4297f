"""Answers that tell of jobs, in the form that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flask import Response, jsonify

from imagefleet_web import shapes
from imagefleet_web.negotiation import wants_text
from imagefleet_web.objects import Batch, Job, RejectedFile, Upload


def of_job(job: Job, headers: Mapping[str, str]) -> Response:
    """Answer with one job."""
    return _answer(job, [job], 200, headers)


def of_batch(batch: Batch, headers: Mapping[str, str]) -> Response:
    """Answer with a batch."""
    return _answer(batch, batch["jobs"], 200, headers)


def of_upload(upload: Upload, headers: Mapping[str, str], status: int) -> Response:
    """Answer with what became of an upload's files."""
    return _answer(upload, upload["jobs"], status, headers)


def _answer(
    body: Job | Batch | Upload,
    jobs: Iterable[Job | RejectedFile],
    status: int,
    headers: Mapping[str, str],
) -> Response:
    if wants_text():
        response = Response(shapes.lines(jobs), mimetype="text/plain")
    else:
        response = jsonify(body)
    response.status_code = status
    response.headers.extend(headers)
    return response
