"""Uploads of one or many images."""

from __future__ import annotations

from flask import Blueprint, Response

from imagefleet_web import access, answers, services, shapes
from imagefleet_web.admission import admitted_files
from imagefleet_web.idempotency import asked_key, standing_of
from imagefleet_web.judging import Refused, Taken
from imagefleet_web.results import Standing
from imagefleet_web.waiting import asked_wait, wait_for

bp = Blueprint("upload", __name__, url_prefix=shapes.API)


@bp.post("/upload")
def upload() -> Response:
    """Accept images; wait for their results if asked to."""
    service = services.current()
    wait, key = asked_wait(service.settings.max_wait_s), asked_key()
    with admitted_files(service) as received:
        upload = service.intake.accept(received, access.owner(), key)
    standing = standing_of(upload, service.results)
    headers = wait_for(standing, wait, service)
    url = shapes.batch_url(upload.batch)
    return answers.of_jobs(
        {"batch": upload.batch, "url": url},
        [_job(file, standing) for file in upload.files],
        {"Location": url, **headers},
        status=202 if standing.pending else 200,
    )


def _job(file: Taken | Refused, standing: Standing) -> shapes.Json:
    if isinstance(file, Refused):
        return shapes.rejected(file.name, file.problem)
    return shapes.job(file.job, file.name, standing.results.get(file.job.number))
