"""One image in, its answer out, in plain text: for `curl -F file=@cat.jpg` and load generators."""

from __future__ import annotations

from pathlib import PurePosixPath

from flask import Blueprint, Response, request

from imagefleet_web import problems, services, shapes
from imagefleet_web.callbacks.asking import asked_callback
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import TEXT, Answer, described
from imagefleet_web.problems import Problem
from imagefleet_web.reuse.asking import asked_fresh
from imagefleet_web.rights import access
from imagefleet_web.serving.presence import client_gone
from imagefleet_web.telling.waiting import asked_wait
from imagefleet_web.uploads.admission import accepted, admitted_files
from imagefleet_web.uploads.idempotency import asked_key, standing_of
from imagefleet_web.uploads.receiving import ReceivedFile

bp = Blueprint("plain", __name__)

# Load generators that send this field expect the file's name before the answer.
NAMED_FIELD = "inputFile"


@bp.post("/")
@described(
    Answer(200, "The label, or a line of JSON.", {TEXT: str}, [parts.REPLAYED, *parts.LIMITS]),
    parameters=parts.ASKED_OF_UPLOADS,
    body=parts.images(1, "One file"),
    errors=[
        *parts.OF_UPLOADS,
        *parts.OF_IMAGES,
        problems.BUSY,
        problems.NOT_CLASSIFIED,
        problems.NOT_FINISHED,
    ],
    text_only=True,
)
def classify() -> Response:
    """Accept one image, wait for its result and answer with the label (or the output) alone."""
    service = services.current()
    longest_s = service.settings.max_wait_s
    wait, key = asked_wait(longest_s, default_s=longest_s), asked_key()
    callback = asked_callback(service.callbacks)
    with service.seats.held() as seated:
        if not seated:
            raise Problem(problems.BUSY, "Too many requests wait for answers. Try again soon.")
        with admitted_files(service) as received:
            file = _only(received)
            upload = service.intake.accept(
                received, access.owner(), key, callback, fresh=asked_fresh()
            )
            accepted(service, upload)
        standing = standing_of(upload, service.results)
        service.results.wait(standing, wait.seconds, client_gone())
    if standing.pending:
        url = request.host_url.rstrip("/") + shapes.job_url(upload.taken[0].job)
        raise Problem(
            problems.NOT_FINISHED,
            f"Not finished yet. The image is kept; its answer will be at {url}",
        )
    (job,) = shapes.jobs(standing)
    if job["error"] is not None:
        raise Problem(problems.NOT_CLASSIFIED, job["error"]["message"])
    name = f"{PurePosixPath(file.name).stem}:" if file.field == NAMED_FIELD else ""
    return Response(f"{name}{shapes.answer(job)}\n", mimetype="text/plain")


def _only(files: list[ReceivedFile]) -> ReceivedFile:
    if len(files) != 1:
        raise Problem(
            problems.TOO_MANY_FILES,
            f"One image at a time is answered here, not {len(files)}. "
            f"Send many to {shapes.API}/upload.",
        )
    return files[0]
