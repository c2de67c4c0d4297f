"""Which of several scalers acts: the one that holds the lease, an object in the results bucket.

It is written on conditions only (`If-None-Match`, `If-Match`), so one at a time can take it, and
its age is told by S3's own clock. The holder stops acting before anybody else may begin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from uuid import uuid4

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.store import Note, Store

log = structlog.get_logger()

KEY = "scaler/lease"
# Of the lease's time, after which it is renewed: one try may fail.
RENEW_AFTER = 0.6
LOOK_S = 2.5
# S3 tells the age in whole seconds.
ROUNDING_S = 1.0


class Lease:
    """One scaler's view of the lease; for one thread.

    Args:
        holder: the name of this scaler, for people.
        lease_s: seconds after which a lease that isn't renewed is free.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        store: Store,
        holder: str,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._holder = holder
        self._lease_s = lease_s
        self._clock = clock
        self._version = ""
        self._renewed_at = float("-inf")
        self._look_at = float("-inf")
        self._said = ""

    @property
    def renew_s(self) -> float:
        """How long a holder may pause."""
        return RENEW_AFTER * self._lease_s

    @property
    def is_held(self) -> bool:
        """Whether nobody else can act now; asks nobody."""
        return bool(self._version) and self._clock() - self._renewed_at < self._lease_s

    def hold(self) -> bool:
        """Renew the lease or take it, if it is time to; return whether it is held.

        What goes wrong with the store is logged, and costs the lease only once its time is over.
        """
        now = self._clock()
        try:
            if self._version:
                if now - self._renewed_at >= self.renew_s:
                    self._write(now, self._version)
            elif now >= self._look_at:
                self._look_at = now + LOOK_S
                self._look(now)
        except ImagefleetError as error:
            self._say(
                "nobody knows which scaler acts: the lease can't be renewed or taken",
                reason=str(error),
            )
        if self._version and not self.is_held:
            self._version = ""
        return self.is_held

    def release(self) -> None:
        """Let another scaler act at once."""
        if not self._version:
            return
        try:
            self._store.write_note(KEY, _body(""), self._version)
        except ImagefleetError as error:
            log.info("the lease ends by itself", reason=str(error))
        self._version = ""

    def _look(self, now: float) -> None:
        note = self._store.read_note(KEY)
        other = _holder(note) if note else ""
        if note is None or not other or note.age_s > self._lease_s + ROUNDING_S:
            self._write(now, note.version if note else "")
        else:
            self._say("this scaler stands by", behind=other)

    def _write(self, now: float, replacing: str) -> None:
        version = self._store.write_note(KEY, _body(self._holder), replacing)
        if version is None:  # another one was faster
            self._version = ""
            self._say("this scaler stands by: another one took the lease")
            return
        self._version, self._renewed_at = version, now
        self._say("this scaler acts", name=self._holder)

    def _say(self, event: str, *, reason: str | None = None, **facts: str) -> None:
        """Log what is new; of a trouble that lasts only its first reason."""
        said = f"{event} {facts}"
        if said != self._said:
            if reason:
                log.warning(event, reason=reason, **facts)
            else:
                log.info(event, **facts)
        self._said = said


def _body(holder: str) -> bytes:
    """Return what nobody else would write, nor this scaler twice: a version tells of one write."""
    return json.dumps({"v": 1, "holder": holder, "write": uuid4().hex}).encode()


def _holder(note: Note) -> str:
    """Return who wrote the lease; nobody, where it was released or isn't readable."""
    try:
        found = json.loads(note.body)
        return str(found["holder"])
    except (ValueError, TypeError, KeyError):
        return ""
