"""The header Idempotency-Key: an upload that is sent twice with the same key is taken in once.

As in draft-ietf-httpapi-idempotency-key-header, and as Stripe's API has it. A key is opaque.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from flask import Response, after_this_request, request

from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.telling.results import Results, Standing
from imagefleet_web.uploads.judging import Taken, Upload
from imagefleet_web.uploads.receiving import ReceivedFile

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"

_KEY = re.compile(r"[ -~]{1,255}")


def asked_key() -> str | None:
    """Return the current request's key, None where it has none; raises `Problem` for a bad one."""
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise Problem(
            problems.BAD_IDEMPOTENCY_KEY,
            f"{HEADER} must be 1 to 255 printable ASCII characters; a random UUID does well.",
        )
    return key


def fingerprint(files: Sequence[ReceivedFile], upload: Upload, callback_url: str = "") -> str:
    """Return a hash of an upload: names, sizes, contents, which files became jobs, the callback.

    Which became jobs, as other limits may number them in another way. Of a file that is too large
    only what was kept of it counts, and its size.
    """
    whole = hashlib.sha256(f"{callback_url}\n".encode() if callback_url else b"")
    for file, judged in zip(files, upload.files, strict=True):
        content, taken = file.body.sha256.hex(), isinstance(judged, Taken)
        whole.update(f"{file.name}\0{file.body.size}\0{content}\0{taken}\n".encode())
    return whole.hexdigest()


def standing_of(upload: Upload, results: Results) -> Standing:
    """Return where an upload's jobs stand; of one that is answered again, as they do by now.

    Raises:
        BatchDeleted: its batch was deleted since.
    """
    standing = upload.standing()
    if upload.replayed:
        mark_replayed()
        results.catch_up(standing)
    return standing


def mark_replayed() -> None:
    """Have the current request's answer say that it is of what was accepted before."""
    after_this_request(_mark)


def _mark(response: Response) -> Response:
    response.headers[REPLAYED] = "true"
    return response
