"""Where a single job stands."""

from __future__ import annotations

import structlog
from flask import Blueprint, Response

from imagefleet_web import answers, services, shapes
from imagefleet_web.ids import parse_job
from imagefleet_web.waiting import asked_wait, wait_for

bp = Blueprint("jobs", __name__, url_prefix=f"{shapes.API}/jobs")


@bp.get("/<job_id>")
def job(job_id: str) -> Response:
    """Tell where a job stands, once it is finished if asked to wait."""
    service = services.current()
    parsed = parse_job(job_id)
    structlog.contextvars.bind_contextvars(job=job_id)
    wait = asked_wait(service.settings.max_wait_s)
    standing = service.results.of_job(parsed)
    headers = wait_for(standing, wait, service)
    (told,) = shapes.jobs(standing)
    return answers.of_job(told, headers)
