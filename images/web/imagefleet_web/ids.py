"""Ids as they stand in URLs and names, and the times they carry."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId
from imagefleet_web import problems
from imagefleet_web.problems import Problem


def parse_batch(text: str) -> str:
    """Return a batch id as it stands in a URL; raises `Problem` for any other text."""
    if made_at(text) is None:
        raise Problem(problems.BAD_ID, f"{text[:80]!r} is no batch id; one is a UUIDv7.")
    return text


def parse_job(text: str) -> JobId:
    """Return a job id as it stands in a URL; raises `Problem` for any other text."""
    try:
        return JobId.parse(text)
    except DecodeError as error:
        raise Problem(
            problems.BAD_ID, f"{text[:80]!r} is no job id; one is <batch id>-<number>."
        ) from error


def made_at(uuid: str) -> datetime | None:
    """Return the time in a UUIDv7 (RFC 9562, section 5.7), or None for any other text."""
    try:
        parsed = UUID(uuid)
    except ValueError:
        return None
    if parsed.version != 7 or str(parsed) != uuid:
        return None
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)
