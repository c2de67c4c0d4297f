"""A callback that this process holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagefleet_web.callbacks import urls
from imagefleet_web.callbacks.note import Note
from imagefleet_web.callbacks.urls import BadUrl


@dataclass(slots=True)
class Held:
    """A callback and its note; the times are of one monotonic clock.

    Attributes:
        written_at: when its note was written, and so from when it is held.
        due: when something is to be done about it.
        missing: numbers of jobs that are not finished as far as is known; None if nothing is.
        look_s: how long after the last look into the store the next one comes.
        often_until: until when that does not become longer.
        sending: whether a try is on its way, or waits for its turn.
        over: whether nothing is left but to delete the note.
    """

    batch: str
    note: Note
    version: str
    written_at: float
    due: float
    look_s: float
    missing: set[int] | None = None
    often_until: float = float("-inf")
    sending: bool = False
    over: bool = False
    client: str = field(init=False)

    def __post_init__(self) -> None:
        self.client = client_of(self.note.owner, self.note.url)

    @property
    def finished(self) -> bool:
        """Whether the batch is known to be finished."""
        return self.missing is not None and not self.missing

    def finish(self, number: int) -> bool:
        """Take note of a job that is finished; return whether the batch is by that."""
        missing = self.missing
        if not missing or number not in missing:
            return False
        missing.discard(number)
        return not missing

    def left_s(self, now: float) -> float:
        """Return for how long it is held without being written again."""
        return self.written_at + self.note.hold_s - now


def client_of(owner: str | None, url: str) -> str:
    """Return whom a callback counts for: the owner, or the host to call where there are no keys."""
    if owner is not None:
        return owner
    try:
        return urls.parse(url).host
    except BadUrl:
        return ""
