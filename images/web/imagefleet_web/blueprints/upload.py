"""Uploads of one or many images."""

from __future__ import annotations

from flask import Blueprint, Response

from imagefleet_web import answers, services, shapes
from imagefleet_web.callbacks.asking import asked_callback
from imagefleet_web.objects import Job, RejectedFile, Upload
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import JSON, Answer, Header, described
from imagefleet_web.openapi.schemas import FromSettings
from imagefleet_web.reuse.asking import asked_fresh
from imagefleet_web.rights import access
from imagefleet_web.telling.results import Standing
from imagefleet_web.telling.waiting import asked_wait, wait_for
from imagefleet_web.uploads.admission import accepted, admitted_files
from imagefleet_web.uploads.idempotency import asked_key, standing_of
from imagefleet_web.uploads.judging import Refused, Taken

bp = Blueprint("upload", __name__, url_prefix=shapes.API)


_CONTENT = {JSON: Upload, **parts.LINES}
_HEADERS = [
    Header("Location", str, "The batch."),
    *parts.OF_WAITS,
    parts.REPLAYED,
    *parts.LIMITS,
]
_LINKS = {
    name: {"batch_id": "$response.body#/batch"}
    for name in ("batch", "batch_events", "results_csv", "results_jsonl", "delete_batch")
}
_LINKS["job"] = {"job_id": "$response.body#/jobs/0/id"}


@bp.post("/upload")
@described(
    Answer(200, "All accepted images are finished.", _CONTENT, _HEADERS, _LINKS),
    Answer(202, "Some accepted images are pending.", _CONTENT, _HEADERS, _LINKS),
    parameters=parts.ASKED_OF_UPLOADS,
    body=parts.images(FromSettings("max_files"), "Up to {max_files} files"),
    errors=[*parts.OF_UPLOADS, *parts.OF_IMAGES],
)
def upload() -> Response:
    """Accept images; wait for their results if asked to."""
    service = services.current()
    wait, key = asked_wait(service.settings.max_wait_s), asked_key()
    callback = asked_callback(service.callbacks)
    with admitted_files(service) as received:
        upload = service.intake.accept(received, access.owner(), key, callback, fresh=asked_fresh())
        accepted(service, upload)
    standing = standing_of(upload, service.results)
    headers = wait_for(standing, wait, service)
    told = shapes.upload(upload.batch, [_job(file, standing) for file in upload.files])
    status = 202 if standing.pending else 200
    return answers.of_upload(told, {"Location": told["url"], **headers}, status)


def _job(file: Taken | Refused, standing: Standing) -> Job | RejectedFile:
    if isinstance(file, Refused):
        return shapes.rejected(file.name, file.problem)
    return shapes.job(file.job, file.name, standing.results.get(file.job.number))
