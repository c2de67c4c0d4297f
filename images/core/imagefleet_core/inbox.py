"""Requests from either source: our own messages, and S3's events for uploads to `inbox/`.

An upload with a form of ours has its job in its key. That of any other upload is derived from the
event. Either way an event that comes twice is one job.

Event structure and the URL-encoded keys:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from uuid import UUID

from imagefleet_core.errors import DecodeError
from imagefleet_core.fields import Fields
from imagefleet_core.jobs import JobId, Request
from imagefleet_core.keys import INBOX, clean_name, parse_inbox_key

# S3 announces an upload this soon after it: what was put there later is another upload.
ANNOUNCED_WITHIN_S = 5.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_requests(body: str) -> list[Request]:
    """Return the requests one message holds; none for the test event S3 sends at set-up.

    Raises:
        DecodeError: the message is neither ours nor an event about the inbox.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {error}", body) from error
    if not isinstance(value, dict) or "v" in value:
        return [Request.decode(body)]
    if value.get("Event") == "s3:TestEvent":
        return []
    return [_from_record(record) for record in Fields(value, body).objects("Records")]


def _from_record(record: Fields) -> Request:
    s3 = record.object("s3").object("object")
    key = unquote_plus(s3.text("key"))
    if not key.startswith(INBOX):
        raise DecodeError(f"an event for a key outside {INBOX}: {key[:200]!r}", record.data)
    uploaded_at = record.time("eventTime")
    if uploaded_at < _EPOCH:  # a UUIDv7 counts from there
        raise DecodeError("field 'eventTime' must be after 1970", record.data)
    if asked := parse_inbox_key(key):
        job, name = asked
        return Request(job, key, clean_name(name), None, uploaded_at)
    # With the time these tell two uploads to one key apart; the event itself may come twice.
    identity = f"{key}\n{s3.optional_text('sequencer')}\n{s3.optional_text('eTag')}"
    return Request(
        job=JobId(_batch_id(uploaded_at, identity), 1),
        key=key,
        name=clean_name(key),
        reply_to=None,
        submitted_at=uploaded_at,
    )


def _batch_id(moment: datetime, identity: str) -> str:
    """Return a UUIDv7 (RFC 9562) of a moment whose random bits are a hash of `identity`.

    So the same event always names the same job, and handling it twice is harmless.
    """
    digest = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:10], "big")
    milliseconds = int(moment.timestamp() * 1000)
    version, variant, low = 0x7 << 76, 0b10 << 62, (1 << 62) - 1
    random_a, random_b = (digest >> 62 & 0xFFF) << 64, digest & low
    return str(UUID(int=milliseconds << 80 | version | random_a | variant | random_b))
