"""The callbacks that this process holds, and what is written into their notes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import structlog

from imagefleet_core.errors import Unavailable
from imagefleet_web.callbacks.held import Held
from imagefleet_web.callbacks.note import Note, Notes

log = structlog.get_logger()

# After the store did not answer.
AGAIN_S = 30.0


class Holdings:
    """Safe to share between threads, though each callback is one thread's at a time.

    Args:
        holder: names this process, as no other was ever named.
        hold_s: how long a note is held at least.
    """

    def __init__(
        self, notes: Notes, *, holder: str, hold_s: float, clock: Callable[[], float]
    ) -> None:
        self.holder = holder
        self.hold_s = hold_s
        self._notes = notes
        self._clock = clock
        self._lock = Lock()
        self._held: dict[str, Held] = {}

    def __contains__(self, batch: object) -> bool:
        return batch in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, batch: str) -> Held | None:
        """Return the callback of a batch, if this process holds it."""
        return self._held.get(batch)

    def all(self) -> list[Held]:
        """Return all that are held."""
        with self._lock:
            return list(self._held.values())

    def add(
        self,
        batch: str,
        note: Note,
        version: str,
        missing: set[int] | None,
        due_in_s: float,
        often_for_s: float = 0.0,
    ) -> None:
        """Hold a callback whose note was just written.

        Args:
            often_for_s: for how long looks into the store do not become rarer.
        """
        now = self._clock()
        look_s = self.hold_s / 2
        often_until = now + often_for_s
        held = Held(batch, note, version, now, now + due_in_s, look_s, missing, often_until)
        with self._lock:
            self._held[batch] = held

    def forget(self, batch: str) -> None:
        """Hold a callback no more."""
        with self._lock:
            self._held.pop(batch, None)

    def renew(self, held: Held, hold_s: float, tries: int | None = None) -> bool:
        """Write a note again; return whether it still was this process's. Raises `Unavailable`."""
        held.note = held.note.held_by(self.holder, hold_s, tries)
        now = self._clock()
        version = self._notes.write(held.batch, held.note, held.version)
        if version is None:
            log.info("callback is another's by now", batch=held.batch)
            self.forget(held.batch)
            return False
        held.version, held.written_at = version, now
        return True

    def put_off(self, held: Held, error: Unavailable) -> None:
        """Try again when the store may answer."""
        log.warning("callback put off", batch=held.batch, reason=str(error))
        held.due = self._clock() + AGAIN_S

    def end(self, held: Held) -> None:
        """Delete a note and forget its callback; that is tried again if the store fails."""
        held.over = True
        try:
            self._notes.delete(held.batch)
            self.forget(held.batch)
        except Unavailable as error:
            self.put_off(held, error)
