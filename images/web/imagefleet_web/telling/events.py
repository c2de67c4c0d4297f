"""A batch's results as server-sent events, in the order they arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator

from imagefleet_core.jobs import JobId
from imagefleet_web import shapes, sse
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.results import Standing
from imagefleet_web.telling.told import Told


def stream(
    hub: Hub, standing: Standing, last_id: str = "", heartbeat_s: float = sse.HEARTBEAT_S
) -> Iterator[str]:
    """Yield a `result` for each finished job, those known first, and `end` after the last.

    Without `end`, the stream is to be opened again.

    Args:
        last_id: the id of the last event that the client has; what that one knows of is left out.
    """
    told = Told.parse(last_id)
    yield sse.RETRY
    with hub.watch(standing.batch, standing.pending) as watch:
        for number in sorted(standing.results):
            if number not in told:
                yield _result(standing, number, told)
        while not watch.complete and not watch.released:
            for result in watch.arrivals(time.monotonic() + heartbeat_s):
                standing.add(result)
                yield _result(standing, result.job.number, told)
            yield sse.ALIVE
        if watch.complete:
            yield sse.event("end", shapes.summary(standing))


def _result(standing: Standing, number: int, told: Told) -> str:
    job = JobId(standing.batch, number)
    told.add(number)
    data = shapes.job(job, standing.names[number], standing.results[number])
    return sse.event("result", data, str(told))
