"""Shares what each process learns with the others, and with those that come after it.

New entries go together into one object of the results bucket, and those of others are read from
there; both in the background, now and then, and only where there is something new or somebody
uploads. The objects' names begin with the time, counted down: S3 lists in ascending order, so the
newest come first, and one listing tells all that matters.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from uuid import uuid4

import structlog

from imagefleet_core import keys
from imagefleet_core.errors import DecodeError, Unavailable
from imagefleet_core.store import Store
from imagefleet_web.reuse import segment
from imagefleet_web.reuse.index import Answered, Index
from imagefleet_web.reuse.segment import Segment

log = structlog.get_logger()

EVERY_S = 10.0
# More segments than that come in this time from a hundred processes only. Where not even one of
# them was read before, about a thousand are.
FEW = 100
# Entries that wait to be written while the store does not answer.
MOST_UNTOLD = 50_000


class Sharing:
    """Writes and reads segments; `turn` is for one thread.

    Args:
        index: what this process knows.
    """

    def __init__(
        self, store: Store, index: Index, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._index = index
        self._clock = clock
        self._untold: deque[tuple[bytes, Answered]] = deque(maxlen=MOST_UNTOLD)
        # What there is at first is read without anybody asking.
        self._asked = True
        self._read: set[str] = set()

    def learned(self, image: bytes, answered: Answered) -> None:
        """Tell the others of an image, as soon as it is time to."""
        self._untold.append((image, answered))

    def asked(self) -> None:
        """Look what others have learned, as soon as it is time to."""
        self._asked = True

    def turn(self) -> float:
        """Write and read what is new; return seconds until the next turn.

        Raises:
            Unavailable: the store does not answer; nothing is lost.
        """
        while self._untold:
            self._write()
        if self._asked:
            self._asked = False
            try:
                self._look()
            except Unavailable:
                self._asked = True
                raise
        return EVERY_S

    def _write(self) -> None:
        some = list(islice(self._untold, segment.MOST))
        key = keys.answers_key(int(self._clock() * 1000), uuid4().hex)
        self._store.write_note(key, Segment(self._index.newest(), some).encode())
        self._read.add(key)
        # From the left, where a full queue drops entries too: some of these may be gone by now.
        for each in some:
            if self._untold and self._untold[0] is each:
                self._untold.popleft()

    def _look(self) -> None:
        listed = self._store.note_keys(keys.ANSWERS, at_most=FEW)
        if listed and self._read.isdisjoint(listed):
            listed = self._store.note_keys(keys.ANSWERS)
        found: list[tuple[bytes, Answered]] = []
        for key in listed:
            if key not in self._read:
                found += self._answered(key)
            if len(found) >= self._index.most:
                break
        for image, answered in reversed(found):
            self._index.put(image, answered)
        self._read = set(listed)

    def _answered(self, key: str) -> Sequence[tuple[bytes, Answered]]:
        """Return what a segment holds; nothing where it can't be had."""
        note = self._store.read_note(key)
        if note is None:  # the bucket's rule was faster
            return ()
        try:
            found = Segment.decode(note.body)
        except DecodeError as error:
            log.warning("known answers can't be read", key=key, reason=str(error))
            return ()
        self._index.heard(found.newest)
        return found.answered
