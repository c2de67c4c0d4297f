"""What a client used on one day, as it lies in the store: one object, written on conditions only.

It holds the count of each that counted, so that writing the same twice changes nothing. Who writes
it knows by that what all others did up to now; it is read only where there is nothing to write, or
another one was faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

import structlog

from imagefleet_core import fields, keys
from imagefleet_core.errors import DecodeError
from imagefleet_core.fields import Fields
from imagefleet_core.store import Store

log = structlog.get_logger()

# To write against others that do so too; what is left then is written the next time.
_TRIES = 3


@dataclass(slots=True)
class Usage:
    """What is known of a client's day.

    Attributes:
        day: such as 2026-01-31.
        counter: names what counts here, as nothing else was ever named.
        own: images that were counted here, and `written` those that the store knows of.
        others: what all others counted, by their names, as far as is known.
        asked: whether the store was asked for that, and `stale_at` when it is to be asked again.
        busy: held by who reads or writes it in the store.
    """

    client: str
    day: str
    counter: str
    own: int = 0
    written: int = 0
    others: dict[str, int] = field(default_factory=dict)
    version: str = ""
    asked: bool = False
    stale_at: float = float("-inf")
    busy: Lock = field(default_factory=Lock)

    @property
    def images(self) -> int:
        """How many images the client uploaded."""
        return self.own + sum(self.others.values())

    @property
    def key(self) -> str:
        """Where it lies in the store, by a hash of the client's name or address."""
        digest = sha256(f"imagefleet usage {self.client}".encode()).hexdigest()
        return keys.usage_key(self.day, digest)


class Ledger:
    """Reads and writes usage; calls the store in the caller's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, usage: Usage) -> None:
        """Learn what others counted; raises `Unavailable`."""
        note = self._store.read_note(usage.key)
        usage.version = note.version if note else ""
        counts = _decode(note.body) if note else {}
        usage.others = {each: count for each, count in counts.items() if each != usage.counter}

    def write(self, usage: Usage) -> bool:
        """Tell what was counted here; return whether that went well. Raises `Unavailable`."""
        for _ in range(_TRIES):
            own = usage.own
            body = _encode({**usage.others, usage.counter: own})
            version = self._store.write_note(usage.key, body, usage.version)
            if version is not None:
                usage.version, usage.written = version, own
                return True
            self.read(usage)
        return False


def _encode(counts: dict[str, int]) -> bytes:
    return fields.encode({"images": counts}).encode()


def _decode(data: bytes) -> dict[str, int]:
    """Read the counts; what can't be understood counts as nothing, and is replaced."""
    try:
        counts = Fields.decode(data).optional_mapping("images") or {}
    except DecodeError as error:
        log.warning("usage can't be read", reason=str(error), data=error.data)
        return {}
    return {each: count for each, count in counts.items() if type(count) is int and count > 0}
