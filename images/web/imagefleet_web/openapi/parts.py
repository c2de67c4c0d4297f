"""Parameters, bodies, headers and problems that several routes share."""

from __future__ import annotations

from typing import Annotated

from imagefleet_web import problems
from imagefleet_web.openapi.operation import FORM, TEXT, Header, Parameter
from imagefleet_web.openapi.schemas import About, FromSettings
from imagefleet_web.uploads import formats

# Ids of the next seven thousand years: their first digits are milliseconds since 1970.
_UUID7 = r"[0-9a-d][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_BATCH = "019ab2c4-5d6e-7f80-8123-456789abcdef"

BATCH_ID = Parameter(
    "batch_id",
    "path",
    Annotated[str, About(pattern=f"^{_UUID7}$", examples=[_BATCH])],
    "The batch's id.",
)
JOB_ID = Parameter(
    "job_id",
    "path",
    Annotated[
        str,
        About(pattern=rf"^{_UUID7}-([0-9]{{4}}|[1-9][0-9]{{4,8}})$", examples=[f"{_BATCH}-0001"]),
    ],
    "The job's id.",
)
WAIT = Parameter(
    "wait",
    "query",
    Annotated[float, About(minimum=0, examples=[10])],
    "Wait for results for up to so many seconds; more than {max_wait_s} count as that.",
)
PREFER = Parameter(
    "Prefer",
    "header",
    Annotated[str, About(examples=["wait=10"])],
    "`wait=S` is the same as the query's `wait`, which goes before it (RFC 7240).",
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    Annotated[
        str,
        About(
            pattern=r"^[!-~]([ -~]{0,253}[!-~])?$",
            examples=["d3b07384-d9a4-4c5f-8a3e-2f1f0f0c9a11"],
        ),
    ],
    "Marks an upload that may be sent again until there is an answer, and is taken in once.",
)
CALLBACK_URL = Parameter(
    "callback_url",
    "query",
    Annotated[str, About(maxLength=2000, examples=["https://receiver.example/hook"])],
    "A URL that is told once the batch is finished, in a signed request; where callbacks are set "
    "up.",
)
NO_CACHE = Parameter(
    "Cache-Control",
    "header",
    Annotated[str, About(examples=["no-cache"])],
    "`no-cache` has images worked on that would be answered as the same bytes were before.",
)
# What may be said with an upload.
ASKED_OF_UPLOADS = (WAIT, PREFER, CALLBACK_URL, IDEMPOTENCY_KEY, NO_CACHE)
ACCEPT = Parameter(
    "Accept",
    "header",
    Annotated[str, About(examples=["text/plain"])],
    "`text/plain` gives a line for each image instead of JSON, and a sentence for a problem.",
)

LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    "header",
    str,
    "The `id` of the last event that a client has which reconnects, as it is.",
)

PREFERENCE_APPLIED = Header(
    "Preference-Applied",
    Annotated[str, About(examples=["wait=10"])],
    "For how long the preference was honoured.",
    always=False,
)
NO_SEAT = Header(
    "Retry-After",
    Annotated[str, About(examples=["1"])],
    "Stands on an answer that did not wait as asked, as too many requests wait already.",
    always=False,
)
OF_WAITS = (PREFERENCE_APPLIED, NO_SEAT)
REPLAYED = Header(
    "Idempotent-Replayed",
    Annotated[str, About(examples=["true"])],
    "Stands on the answer to an upload that was accepted before.",
    always=False,
)
LIMITS = (
    Header(
        "RateLimit-Policy",
        Annotated[str, About(examples=['"images-per-minute";q=600;qu="images";w=60'])],
        "The limits to what the client may upload, where there are any.",
        always=False,
    ),
    Header(
        "RateLimit",
        Annotated[str, About(examples=['"images-per-minute";r=540;t=1'])],
        "What is left of each, and in how many seconds there is more.",
        always=False,
    ),
)
RETRY_AFTER = Header(
    "Retry-After", Annotated[str, About(examples=["5"])], "Seconds to wait before the next try."
)

IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", str, "What the client has already, by its `ETag`; 304 if it is that."
)

OCTETS = "application/octet-stream"
IMAGE_KINDS = tuple(formats.content_type(name) for name in formats.NAMES)
FILE = Annotated[str, About(contentMediaType=OCTETS, minLength=1)]


def images(most: int | FromSettings, how_many: str) -> dict[str, object]:
    """Return what an upload of up to so many images may be, by media type."""
    form = {
        "type": "object",
        "description": f"{how_many} in fields of any name; `file` stands for all of them. "
        "Each may have up to {max_file_bytes} bytes and {max_pixels} pixels.",
        "properties": {
            "file": {
                "type": "array",
                "items": {"type": "string", "contentMediaType": OCTETS, "minLength": 1},
                "minItems": 1,
                "maxItems": most,
            }
        },
        "required": ["file"],
    }
    return {FORM: form} | dict.fromkeys((*IMAGE_KINDS, OCTETS), FILE)


LINES = {TEXT: Annotated[str, About("A line for each image: its answer, or what became of it.")]}

# What a callback_url and an idempotency key can meet.
OF_CALLBACKS = (problems.BAD_CALLBACK_URL, problems.NO_CALLBACKS)
OF_KEYS = (
    problems.BAD_IDEMPOTENCY_KEY,
    problems.UPLOAD_IN_PROGRESS,
    problems.DELETED,
    problems.IDEMPOTENCY_KEY_REUSED,
)
# What an upload can meet before any image is judged, and while it is stored.
OF_UPLOADS = (
    problems.NO_FILES,
    problems.BROKEN_UPLOAD,
    problems.TOO_SLOW,
    problems.BAD_WAIT,
    *OF_CALLBACKS,
    *OF_KEYS,
    problems.TOO_MANY_FILES,
    problems.REQUEST_TOO_LARGE,
    problems.UNSUPPORTED_BODY,
    problems.TOO_MANY_REQUESTS,
    problems.QUOTA_EXCEEDED,
    problems.UNAVAILABLE,
    problems.OVERLOADED,
)
# Why one image is refused.
OF_IMAGES = (
    problems.EMPTY_FILE,
    problems.FILE_TOO_LARGE,
    problems.TOO_MANY_PIXELS,
    problems.UNSUPPORTED_FORMAT,
    problems.BROKEN_IMAGE,
    problems.ALL_REFUSED,
)
OF_BATCHES = (problems.BAD_ID, problems.NOT_FOUND, problems.DELETED, problems.UNAVAILABLE)
