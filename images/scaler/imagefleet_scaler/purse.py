"""What the day's workers have cost, as an object in the results bucket: it outlives the scaler.

Only where there is a cap on a day's money is it of use, and only then is there any.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.store import Store
from imagefleet_scaler.policy import Decision, Memory, Observation

log = structlog.get_logger()

KEY = "scaler/spent"
# How often it is written while there are workers. What they cost meanwhile is counted again from
# their launches, so only that of those who went in the last minute is lost with a scaler.
WRITE_S = 60.0


class Purse:
    """Remembers what the day has cost for whichever scaler acts next; for one thread.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._version = ""
        self._is_known = False
        self._written_at = float("-inf")
        self._kept: tuple[int, float] = (0, 0.0)
        self._troubled = False

    def recall(self, memory: Memory) -> Memory:
        """Return a memory that knows what another scaler spent; asks only if one may have acted.

        Raises:
            Unavailable: the store does not answer, so nobody knows what may still be spent.
        """
        if self._is_known:
            return memory
        note = self._store.read_note(KEY)
        self._version = note.version if note else ""
        self._is_known = True
        found = _decoded(note.body) if note else None
        if found is None:
            return memory
        self._kept = (found.spent_day, found.spent_usd)
        # Of one day, each may lack what the other saw, and neither tells of less than it cost.
        day, usd = max((each.spent_day, each.spent_usd) for each in (memory, found))
        return replace(memory, spent_day=day, spent_usd=usd, at=max(memory.at, found.at))

    def forget(self) -> None:
        """Believe nothing any more, as another scaler may act."""
        self._is_known = False

    def keep(self, observation: Observation, decision: Decision) -> None:
        """Write what the day has cost, now and then while there are workers, and when they went."""
        memory = decision.memory
        spent = (memory.spent_day, memory.spent_usd)
        now = self._clock()
        is_due = now - self._written_at >= WRITE_S or not observation.workers
        if spent == self._kept or not memory.spent_usd or not is_due:
            return
        self._written_at = now
        try:
            version = self._store.write_note(KEY, _encoded(memory), self._version)
        except ImagefleetError as error:
            self._say(error)
            return
        if version is None:  # another scaler wrote: what it knows is asked for first
            self.forget()
            return
        self._version, self._kept, self._troubled = version, spent, False

    def _say(self, error: ImagefleetError) -> None:
        if not self._troubled:
            log.warning("the day's money can't be noted; it is tried on", reason=str(error))
        self._troubled = True


def _encoded(memory: Memory) -> bytes:
    note = {"v": 1, "day": memory.spent_day, "usd": round(memory.spent_usd, 6), "at": memory.at}
    return json.dumps(note).encode()


def _decoded(body: bytes) -> Memory | None:
    """Return what a note tells; None, with a word in the log, if it can't be read."""
    try:
        note = json.loads(body)
        day, usd, at = int(note["day"]), float(note["usd"]), float(note["at"])
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        log.warning("the note of the day's money can't be read", key=KEY, reason=repr(error))
        return None
    if not (math.isfinite(usd) and math.isfinite(at) and usd >= 0):
        log.warning("the note of the day's money makes no sense", key=KEY, usd=usd, at=at)
        return None
    return Memory(spent_day=day, spent_usd=usd, at=at)
