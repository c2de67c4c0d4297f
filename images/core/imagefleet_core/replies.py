"""What a worker tells whoever asked: the result itself, or where it is if it is too large.

A reply is only a hint, so nothing is lost where a reader understands just one of the two.
"""

from __future__ import annotations

from imagefleet_core import fields
from imagefleet_core.fields import Fields
from imagefleet_core.jobs import JobId, Result

# Ten replies travel in one call, which takes 1 MiB in all, and 256 KiB until 2025 and with some
# emulators. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BYTES = 24 * 1024


def encode(result: Result) -> str:
    """Return a reply of at most `MAX_BYTES`: the encoded result, else its job's id alone."""
    whole = result.encode()
    if len(whole.encode()) <= MAX_BYTES:
        return whole
    return fields.encode({"stored": str(result.job)})


def decode(body: str) -> Result | JobId:
    """Return the result told, or the job whose result is in the store; raises `DecodeError`."""
    found = Fields.decode(body)
    stored = found.optional_text("stored")
    return Result.read(found) if stored is None else JobId.parse(stored)
