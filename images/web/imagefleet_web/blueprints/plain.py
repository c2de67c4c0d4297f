"""One image in, its answer out, in plain text: for `curl -F file=@cat.jpg` and load generators."""

from __future__ import annotations

from pathlib import PurePosixPath

from flask import Blueprint, Response, request

from imagefleet_web import access, problems, services, shapes
from imagefleet_web.admission import admitted_files
from imagefleet_web.idempotency import asked_key, standing_of
from imagefleet_web.problems import Problem
from imagefleet_web.receiving import ReceivedFile
from imagefleet_web.waiting import asked_wait

bp = Blueprint("plain", __name__)

# Load generators that send this field expect the file's name before the answer.
NAMED_FIELD = "inputFile"


@bp.post("/")
def classify() -> Response:
    """Accept one image, wait for its result and answer with the label (or the output) alone."""
    service = services.current()
    longest_s = service.settings.max_wait_s
    wait, key = asked_wait(longest_s, default_s=longest_s), asked_key()
    with service.seats.held() as seated:
        if not seated:
            raise Problem(problems.BUSY, "Too many requests wait for answers. Try again soon.")
        with admitted_files(service) as received:
            file = _only(received)
            upload = service.intake.accept(received, access.owner(), key)
        standing = standing_of(upload, service.results)
        service.results.wait(standing, wait.seconds)
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
