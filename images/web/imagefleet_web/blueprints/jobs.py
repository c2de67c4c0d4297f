"""Where a single job stands, and its image."""

from __future__ import annotations

from flask import Blueprint, Response, request

from imagefleet_web import answers, problems, services, shapes
from imagefleet_web.ids import parse_job
from imagefleet_web.objects import Job
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import JSON, Answer, Header, described
from imagefleet_web.serving.streaming import whole_or_cut
from imagefleet_web.telling.waiting import asked_wait, wait_for

bp = Blueprint("jobs", __name__, url_prefix=f"{shapes.API}/jobs")

# Whatever bytes somebody uploaded, a browser shows them as a picture or not at all; that it may
# not guess what they are stands on every answer.
_UNTRUSTED = {"Content-Security-Policy": "sandbox; default-src 'none'"}
# Of an image that never changes; a day, so that a deleted one does not stay in browsers for long.
_LASTING = "private, max-age=86400, immutable"
# Of one in the bucket's inbox: a form can be used again. Its ETag is asked for each time.
_REPLACEABLE = "private, no-cache"

_ETAG = Header("ETag", str, "Tells this image from any other.")
_DISPOSITION = Header("Content-Disposition", str, "Its name.")


@bp.get("/<job_id>")
@described(
    Answer(
        200,
        "The job as it stands.",
        {JSON: Job, **parts.LINES},
        headers=parts.OF_WAITS,
        links={"job_image": {"job_id": "$response.body#/id"}},
    ),
    parameters=[parts.WAIT, parts.PREFER],
    errors=[*parts.OF_BATCHES, problems.BAD_WAIT],
)
def job(job_id: str) -> Response:
    """Tell where a job stands, once it is finished if asked to wait."""
    service = services.current()
    parsed = parse_job(job_id)
    wait = asked_wait(service.settings.max_wait_s)
    standing = service.results.of_job(parsed)
    headers = wait_for(standing, wait, service)
    (told,) = shapes.jobs(standing)
    return answers.of_job(told, headers)


@bp.get("/<job_id>/image")
@described(
    Answer(
        200,
        "The image, byte for byte.",
        dict.fromkeys([*parts.IMAGE_KINDS, parts.OCTETS], parts.FILE),
        [_ETAG, _DISPOSITION],
    ),
    Answer(304, "It is the one that the client has.", headers=[_ETAG]),
    parameters=[parts.IF_NONE_MATCH],
    errors=[problems.BAD_ID, problems.NO_IMAGE, problems.UNAVAILABLE],
)
def job_image(job_id: str) -> Response:
    """Send a job's image as it was uploaded."""
    image = services.current().images.open(parse_job(job_id))
    response = Response(
        whole_or_cut(image.pieces),
        content_type=image.content_type or "application/octet-stream",
        headers=_UNTRUSTED | {"Cache-Control": _LASTING if image.lasting else _REPLACEABLE},
    )
    response.content_length = image.size
    shown = "inline" if image.content_type else "attachment"
    response.headers.set("Content-Disposition", shown, filename=image.name)
    response.set_etag(image.version)
    response.make_conditional(request)
    return response
