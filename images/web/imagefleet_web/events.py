"""A batch's results as server-sent events, in the order they arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from imagefleet_core.jobs import JobId
from imagefleet_web import shapes
from imagefleet_web.hub import Hub
from imagefleet_web.results import Standing

# A comment that often keeps proxies from closing the stream, and shows when the client is gone:
# only then are its thread and seat free again.
HEARTBEAT_S = 5.0
RETRY_MS = 2000


def stream(hub: Hub, standing: Standing, heartbeat_s: float = HEARTBEAT_S) -> Iterator[str]:
    """Yield a `result` for each finished job, those known first, and `end` after the last.

    Results come in any order, so `Last-Event-ID` tells nothing of what a client has missed: one
    that reconnects is told all of them again. Without `end`, the stream is to be opened again.
    """
    yield f"retry: {RETRY_MS}\n\n"
    with hub.watch(standing.batch, standing.pending) as watch:
        for number in sorted(standing.results):
            yield _result(standing, number)
        while not watch.complete and not watch.released:
            for result in watch.arrivals(time.monotonic() + heartbeat_s):
                standing.add(result)
                yield _result(standing, result.job.number)
            yield ": alive\n\n"
        if watch.complete:
            yield _event("end", shapes.summary(standing))


def _result(standing: Standing, number: int) -> str:
    job = JobId(standing.batch, number)
    told = shapes.job(job, standing.names[number], standing.results[number])
    return f"id: {number}\n" + _event("result", told)


def _event(name: str, data: shapes.Json) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
