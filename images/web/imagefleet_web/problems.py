"""Every error the web tier answers with, as a problem document (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from imagefleet_core.errors import BatchDeleted, ImagefleetError, QueueMissing, Unavailable
from imagefleet_web.negotiation import wants_text
from imagefleet_web.objects import ProblemDocument

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of error: a stable code for programs, its HTTP status, a title for people."""

    code: str
    status: int
    title: str


NO_FILES = Kind("no_files", 400, "No image was sent")
BROKEN_UPLOAD = Kind("broken_upload", 400, "The upload can't be read")
BAD_ID = Kind("bad_id", 400, "Not an id")
BAD_WAIT = Kind("bad_wait", 400, "Not a time to wait")
BAD_LIMIT = Kind("bad_limit", 400, "Not a number of batches")
BAD_CURSOR = Kind("bad_cursor", 400, "Not a cursor")
BAD_FILES = Kind("bad_files", 400, "Not a list of files")
BAD_CALLBACK_URL = Kind("bad_callback_url", 400, "Not a URL to call back")
NO_CALLBACKS = Kind("no_callbacks", 400, "No callbacks are sent")
BAD_IDEMPOTENCY_KEY = Kind("bad_idempotency_key", 400, "Not an idempotency key")
MALFORMED_REQUEST = Kind("malformed_request", 400, "Not a request")
UNAUTHORIZED = Kind("unauthorized", 401, "A key is needed")
CROSS_SITE = Kind("cross_site", 403, "Another site asked")
NOT_FOUND = Kind("not_found", 404, "Not found")
NO_IMAGE = Kind("no_image", 404, "No image here")
TOO_SLOW = Kind("too_slow", 408, "The request came too slowly")
UPLOAD_IN_PROGRESS = Kind("upload_in_progress", 409, "The upload is under way")
DELETED = Kind("deleted", 410, "The batch was deleted")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405, "Wrong method")
TOO_MANY_FILES = Kind("too_many_files", 413, "Too many files")
REQUEST_TOO_LARGE = Kind("request_too_large", 413, "The request is too large")
URI_TOO_LONG = Kind("uri_too_long", 414, "The URL is too long")
UNSUPPORTED_BODY = Kind("unsupported_body", 415, "Not an upload")
EXPECTATION_FAILED = Kind("expectation_failed", 417, "Nothing else can be expected")
IDEMPOTENCY_KEY_REUSED = Kind("idempotency_key_reused", 422, "The key is of another upload")
TOO_MANY_REQUESTS = Kind("too_many_requests", 429, "Too much from one client")
QUOTA_EXCEEDED = Kind("quota_exceeded", 429, "The quota is used up")
HEADERS_TOO_LARGE = Kind("headers_too_large", 431, "The headers are too large")
INTERNAL = Kind("internal", 500, "Something went wrong here")
UNSUPPORTED_CODING = Kind("unsupported_coding", 501, "Not a transfer coding of ours")
UNAVAILABLE = Kind("unavailable", 503, "The service is not available")
BUSY = Kind("busy", 503, "The service is busy")
OVERLOADED = Kind("overloaded", 503, "Too many images wait")
NOT_FINISHED = Kind("not_finished", 504, "Not finished in time")
# Why one image is refused.
EMPTY_FILE = Kind("empty_file", 422, "The file is empty")
FILE_TOO_LARGE = Kind("file_too_large", 413, "The file is too large")
TOO_MANY_PIXELS = Kind("too_many_pixels", 413, "The image has too many pixels")
UNSUPPORTED_FORMAT = Kind("unsupported_format", 415, "The format is not supported")
BROKEN_IMAGE = Kind("broken_image", 422, "The image is broken")
ALL_REFUSED = Kind("all_refused", 422, "No image was accepted")
# What became of an image that was accepted.
NOT_CLASSIFIED = Kind("not_classified", 422, "The image could not be classified")

_OF_STATUS = {kind.status: kind for kind in (NOT_FOUND, METHOD_NOT_ALLOWED, REQUEST_TOO_LARGE)}


class Problem(ImagefleetError):
    """An error to answer with.

    Attributes:
        kind: what it is.
        headers: further headers of the answer.
        more: further members of the problem document.
    """

    def __init__(
        self, kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = headers or {}
        self.more = more


def document(problem: Problem) -> ProblemDocument:
    """Return a problem as a document of RFC 9457."""
    kind = problem.kind
    told: ProblemDocument = {
        "type": f"urn:imagefleet:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": str(problem),
        "code": kind.code,
    }
    return cast(ProblemDocument, told | problem.more)


def install(app: Flask) -> None:
    """Answer every error of `app`, Flask's own ones too, with a problem document."""
    app.register_error_handler(Exception, _handle)


def _handle(error: Exception) -> Response | HTTPException:
    match error:
        case Problem():
            return _answer(error)
        case Unavailable() | QueueMissing():
            log.warning("a service does not answer", reason=str(error))
            return _answer(Problem(UNAVAILABLE, "The storage does not answer. Try again soon."))
        case BatchDeleted():
            return _answer(Problem(DELETED, "The batch was deleted, with its images and results."))
        case HTTPException():
            return _answer_http(error)
    log.error("request failed", method=request.method, path=request.path, exc_info=error)
    return _answer(Problem(INTERNAL, "The fault is the server's, and is logged. Try again later."))


def _answer_http(error: HTTPException) -> Response | HTTPException:
    status = error.code or HTTPStatus.OK
    if status < HTTPStatus.BAD_REQUEST:
        return error  # a redirect
    kind = _OF_STATUS.get(status, Kind(f"http_{status}", status, error.name))
    response = _answer(Problem(kind, _explain(error)))
    for name in ("Allow", "Retry-After"):
        if value := error.get_response().headers.get(name):
            response.headers[name] = value
    return response


def _explain(error: HTTPException) -> str:
    match error.code:
        case HTTPStatus.NOT_FOUND:
            return f"Nothing is at {request.path}."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = error.get_response().headers.get("Allow", "")
            return f"{request.method} is not possible at {request.path}; these are: {allowed}."
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return f"At most {request.max_content_length:,} bytes are accepted in one request."
    return error.description or error.name


def _answer(problem: Problem) -> Response:
    kind, detail = problem.kind, str(problem)
    if wants_text():
        response = Response(f"{detail}\n", kind.status, mimetype="text/plain")
    else:
        body = json.dumps(document(problem), ensure_ascii=False)
        response = Response(body, kind.status, mimetype=MEDIA_TYPE)
    response.headers.update(problem.headers)
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE and "Retry-After" not in problem.headers:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
