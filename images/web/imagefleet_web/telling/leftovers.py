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
# Several times as long as those that live are silent.
DEAD_AFTER_S = 1200.0


def alive(now: float) -> dict[str, str]:
    """Return the tag of a queue whose process lives `now`, in seconds since 1970."""
    return {TAG: str(int(now))}


def remove(queues: Queues, prefix: str, *, but: str = "", now: float) -> None:
    """Remove the queues called `<prefix><UUIDv7>`, but one, whose processes have long been silent.

    That one is of the process itself.
    """
    for name in queues.names(prefix):
        made = made_at(name.removeprefix(prefix))
        if made is None or name == but:
            continue  # not one of ours, or not a left-over one
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
