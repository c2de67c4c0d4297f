"""Removes the replies queues of web processes that ended without doing so themselves.

A queue's tag says when its process was last seen alive. Any number of processes may clean up at
once. Clocks of hosts may differ by minutes.
"""

from __future__ import annotations

import structlog

from imagefleet_core.errors import QueueMissing
from imagefleet_core.queues import Queues
from imagefleet_web.ids import made_at

log = structlog.get_logger()

TAG = "imagefleet-alive"
DEAD_AFTER_S = 600.0


def alive(now: float) -> dict[str, str]:
    """Return the tag of a queue whose process lives `now`, in seconds since 1970."""
    return {TAG: str(int(now))}


def remove(queues: Queues, prefix: str, *, now: float) -> None:
    """Remove the queues called `<prefix><UUIDv7>` whose processes have long been silent."""
    for name in queues.names(prefix):
        made = made_at(name.removeprefix(prefix))
        if made is None:
            continue  # not one of ours
        try:
            seen = _seen(queues.tags(name), made.timestamp())
        except QueueMissing:
            continue  # another process was faster
        if now - seen > DEAD_AFTER_S:
            queues.remove(name)
            log.info("left-over replies queue removed", queue=name, silent_s=int(now - seen))


def _seen(tags: dict[str, str], made: float) -> float:
    """Return when a queue's process was seen last: at its making if its tag can't be read."""
    try:
        return max(made, float(int(tags.get(TAG, ""))))
    except ValueError:
        return made
