"""Ids as they stand in URLs and names, and the times they carry."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import structlog

from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId, made_at_s
from imagefleet_web import problems
from imagefleet_web.problems import Problem


def parse_batch(text: str) -> str:
    """Return a batch id as it stands in a URL, and let each log line of the request name it.

    Raises:
        Problem: the text is none.
    """
    structlog.contextvars.bind_contextvars(batch=text)
    if made_at(text) is None:
        raise Problem(problems.BAD_ID, f"{text[:80]!r} is no batch id; one is a UUIDv7.")
    return text


def parse_job(text: str) -> JobId:
    """Return a job id as it stands in a URL, and let each log line of the request name it.

    Raises:
        Problem: the text is none.
    """
    structlog.contextvars.bind_contextvars(job=text)
    try:
        return JobId.parse(text)
    except DecodeError as error:
        raise Problem(
            problems.BAD_ID, f"{text[:80]!r} is no job id; one is <batch id>-<number>."
        ) from error


def made_at(uuid: str) -> datetime | None:
    """Return the time in a UUIDv7 (RFC 9562, section 5.7), or None for any other text.

    Its milliseconds reach to the year 10889, `datetime` to 9999; later ones are no id either.
    """
    try:
        parsed = UUID(uuid)
        made = datetime.fromtimestamp(made_at_s(parsed), UTC)
    except (ValueError, OverflowError):
        return None
    return made if parsed.version == 7 and str(parsed) == uuid else None
