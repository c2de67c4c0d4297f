"""The note on a callback that is to be sent, and who changes it.

As claims on idempotency keys are, it is changed only by who knows the version that is there. Who
wrote it last holds it for so long as it says, by the store's own clock; then it is anybody's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ParamSpec, TypeVar

from imagefleet_core import fields, keys
from imagefleet_core.fields import Fields
from imagefleet_core.store import Store

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Note:
    """What the note says.

    Attributes:
        holder: the process that wrote it, and `serial` how often it did; so no two are the same.
        owner: whose batch it is, None where there are no keys.
        tries: how often it was sent in vain.
        hold_s: for how long after it was written only its holder does anything.
    """

    url: str
    owner: str | None
    created_at: datetime
    holder: str
    hold_s: float
    tries: int = 0
    serial: int = 0

    def held_by(self, holder: str, hold_s: float, tries: int | None = None) -> Note:
        """Return the note that follows, after as many tries unless told."""
        tries = self.tries if tries is None else tries
        return replace(self, holder=holder, hold_s=hold_s, tries=tries, serial=self.serial + 1)

    def encode(self) -> bytes:
        """Write it as JSON."""
        told = {
            "url": self.url,
            "owner": self.owner,
            "created_at": fields.format_time(self.created_at),
            "holder": self.holder,
            "hold_s": self.hold_s,
            "tries": self.tries,
            "serial": self.serial,
        }
        return fields.encode(told).encode()

    @classmethod
    def decode(cls, data: bytes) -> Note:
        """Read it; raises `DecodeError`."""
        read = Fields.decode(data)
        return cls(
            url=read.text("url"),
            owner=read.optional_text("owner"),
            created_at=read.time("created_at"),
            holder=read.text("holder"),
            hold_s=read.number("hold_s"),
            tries=read.count("tries"),
            serial=read.count("serial"),
        )


@dataclass(frozen=True, slots=True)
class FoundNote:
    """A note as it was read: its version, and its age in seconds."""

    note: Note
    version: str
    age_s: float


class Notes:
    """The notes in the store; every call to it goes through one bounded pool.

    Every method raises `Unavailable`.
    """

    def __init__(self, store: Store, pool: Executor) -> None:
        self._store = store
        self._pool = pool

    def batches(self, most: int) -> list[str]:
        """Return the batches of which there are notes, `most` of them or a few more."""
        found: list[str] = []
        after = ""
        while len(found) < most and (page := self._page(after)):
            found += [key.removeprefix(keys.CALLBACKS) for key in page]
            after = page[-1]
        return found

    def read(self, batch: str) -> FoundNote | None:
        """Return the note of a batch; None where there is none. Raises `DecodeError`."""
        found = self._call(self._store.read_note, keys.callback_key(batch))
        return FoundNote(Note.decode(found.body), found.version, found.age_s) if found else None

    def write(self, batch: str, note: Note, replacing: str = "") -> str | None:
        """Write a note and return its version, or None where another process was faster."""
        key = keys.callback_key(batch)
        return self._call(self._store.write_note, key, note.encode(), replacing)

    def delete(self, batch: str) -> None:
        """Delete the note of a batch."""
        self._call(self._store.delete_note, keys.callback_key(batch))

    def _page(self, after: str) -> list[str]:
        return self._call(self._store.note_keys, keys.CALLBACKS, after)

    def _call(self, call: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        return self._pool.submit(call, *args, **more).result()
