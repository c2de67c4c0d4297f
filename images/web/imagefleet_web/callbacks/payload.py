"""What a receiver is told: the batch as the API tells it, in an envelope of Standard Webhooks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from imagefleet_core.fields import format_time
from imagefleet_web import shapes
from imagefleet_web.objects import Job
from imagefleet_web.telling.results import Standing

TYPE = "batch.finished"
# Some four hundred jobs with labels. Receivers commonly take a megabyte.
MOST_BYTES = 256 * 1024


def of(batch: str, pieces: Iterable[Standing], most_bytes: int = MOST_BYTES) -> bytes:
    """Return the body of a callback; its `jobs` are null if they take more than `most_bytes`.

    However large the batch, no more than one piece and what is sent is kept in memory.
    """
    counts: Counter[str] = Counter()
    jobs: list[Job] = []
    size, finished_at = 0, datetime.min.replace(tzinfo=UTC)
    for piece in pieces:
        told = shapes.summary(piece)
        counts.update({each: told[each] for each in ("total", "done", "failed", "pending")})
        finished_at = max([finished_at, *(each.finished_at for each in piece.results.values())])
        more = shapes.jobs(piece) if size <= most_bytes else []
        size += sum(len(_encode(job)) for job in more)
        jobs += more
    return _encode(
        {
            "type": TYPE,
            "timestamp": format_time(finished_at),
            "data": {
                "batch": batch,
                "url": shapes.batch_url(batch),
                **counts,
                "jobs": jobs if size <= most_bytes else None,
            },
        }
    )


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
