"""Uploads that go to the bucket directly, with forms from here."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from imagefleet_web import problems, services, shapes
from imagefleet_web.callbacks.asking import asked_callback
from imagefleet_web.objects import PresignedUploads, WantedFiles
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.operation import JSON, Answer, Header, described
from imagefleet_web.rights import access
from imagefleet_web.uploads.admission import admitted_forms, offered
from imagefleet_web.uploads.idempotency import asked_key, mark_replayed
from imagefleet_web.uploads.wanted import asked_files

bp = Blueprint("uploads", __name__, url_prefix=shapes.API)


@bp.post("/uploads")
@described(
    Answer(
        201,
        "A form for each file; its job begins when the file is uploaded.",
        {JSON: PresignedUploads},
        [Header("Location", str, "The batch."), parts.REPLAYED, *parts.LIMITS],
        {"batch": {"batch_id": "$response.body#/batch"}},
    ),
    parameters=[parts.CALLBACK_URL, parts.IDEMPOTENCY_KEY],
    body={JSON: WantedFiles},
    body_optional=True,
    errors=[
        *parts.OF_CALLBACKS,
        *parts.OF_KEYS,
        problems.BAD_FILES,
        problems.BROKEN_UPLOAD,
        problems.TOO_SLOW,
        problems.TOO_MANY_FILES,
        problems.REQUEST_TOO_LARGE,
        problems.UNSUPPORTED_FORMAT,
        problems.TOO_MANY_REQUESTS,
        problems.QUOTA_EXCEEDED,
        problems.UNAVAILABLE,
        problems.OVERLOADED,
    ],
)
def presigned_uploads() -> Response:
    """Give out forms with which images are uploaded to the bucket directly."""
    service = services.current()
    key, callback = asked_key(), asked_callback(service.callbacks)
    files = asked_files(request, service.limits.max_files)
    with admitted_forms(service, len(files)):
        offer = service.presigning.offer(files, access.owner(), key, callback)
        offered(service, offer)
    if offer.replayed:
        mark_replayed()
    told = shapes.presigned(offer)
    response = jsonify(told)
    response.status_code = 201
    response.headers["Location"] = told["url"]
    return response
