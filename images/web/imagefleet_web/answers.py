"""Answers that tell of jobs, in the form that was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, jsonify

from imagefleet_web import shapes
from imagefleet_web.negotiation import wants_text


def of_job(job: shapes.Json, headers: Mapping[str, str]) -> Response:
    """Answer with one job."""
    return _answer(job, [job], 200, headers)


def of_jobs(
    about: shapes.Json, jobs: list[shapes.Json], headers: Mapping[str, str], status: int = 200
) -> Response:
    """Answer with a batch, or what was uploaded of it: `about` it, and its jobs."""
    return _answer({**about, "jobs": jobs}, jobs, status, headers)


def _answer(
    body: shapes.Json, jobs: list[shapes.Json], status: int, headers: Mapping[str, str]
) -> Response:
    if wants_text():
        response = Response(shapes.lines(jobs), mimetype="text/plain")
    else:
        response = jsonify(body)
    response.status_code = status
    response.headers.extend(headers)
    return response
