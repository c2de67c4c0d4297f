"""Past batches, newest first.

S3 lists keys in ascending order only, and can begin after any of them. A batch's id begins with
the time it was made (UUIDv7), so the list goes back in windows of time and takes one listing for
each. The first one is all the past, which is enough where there are few batches. Otherwise they
grow from ten minutes, and shrink where one holds more than a listing tells. So a page of millions
of batches costs a few listings, and no index has to be kept true beside the bucket.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from imagefleet_core.jobs import ids_made_at
from imagefleet_core.store import Store
from imagefleet_web import problems
from imagefleet_web.ids import made_at
from imagefleet_web.problems import Problem
from imagefleet_web.rights.owners import may_see

# Ten minutes, in milliseconds: what is tried next where all the past is too much.
FIRST_WINDOW_MS = 10 * 60 * 1000
GROWTH = 16
# A page that takes more is told as far as it goes. From ten minutes to a single millisecond it is
# six steps, so each page gets on.
MOST_LOOKS = 24

# What all ids before the end of a page sort before: one of them, or the beginning of some.
_BOUND = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-(7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Page:
    """Some batches, newest first.

    Attributes:
        cursor: where the next page begins, or None where there is none.
    """

    batches: list[str]
    cursor: str | None


class History:
    """Lists batches; every call to the store goes through one bounded pool."""

    def __init__(
        self, store: Store, pool: Executor, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._pool = pool
        self._clock = clock

    def page(self, limit: int, cursor: str | None, owner: str | None = None) -> Page:
        """Return up to `limit` of an owner's batches; raises `Problem` for a cursor not of ours.

        There may be fewer, or none, though a cursor tells that the list goes on.
        """
        end = None if cursor is None else _decode(cursor)
        end_ms = int(self._clock() * 1000) if end is None else _milliseconds(end)
        found: list[str] = []
        window = _Window(end_ms)
        for _ in range(MOST_LOOKS):
            within, whole = self._look(window.start_ms, end)
            if not whole and window.narrow(within):
                continue
            found += (each for each in reversed(within) if may_see(owner, each))
            if len(found) > limit:
                return Page(found[:limit], _encode(found[limit - 1]))
            if not window.go_back():
                return Page(found, None)
            end = ids_made_at(window.end_ms)
        return Page(found, _encode(end or ids_made_at(window.end_ms)))

    def _look(self, start_ms: int, end: str | None) -> tuple[list[str], bool]:
        """Return the batches from a time on that sort before `end`, and if those are all."""
        page = self._pool.submit(self._store.batches_from, ids_made_at(start_ms)).result()
        within = [each for each in page.ids if (end is None or each < end) and made_at(each)]
        return within, not page.more or (end is not None and page.ids[-1] >= end)


class _Window:
    """From which time to which to look, in milliseconds since 1970; at first all the past.

    A dense window is one that holds more than a listing tells.
    """

    def __init__(self, end_ms: int) -> None:
        self.start_ms, self.end_ms = 0, end_ms
        self._oldest_ms: int | None = None
        self._dense_ms: int | None = None

    def narrow(self, oldest: Sequence[str]) -> bool:
        """Make a dense window narrower, if it can be; `oldest` is what was listed of it."""
        width_ms = self.end_ms - self.start_ms
        if width_ms <= 1:
            return False
        if self._oldest_ms is None:
            self._oldest_ms = _milliseconds(oldest[0]) if oldest else 0
            width_ms = FIRST_WINDOW_MS
        else:
            self._dense_ms = self.start_ms
            width_ms //= GROWTH
        self._begin(width_ms)
        return True

    def go_back(self) -> bool:
        """Go on to the time before; return False where nothing can lie before it."""
        if self._oldest_ms is None or self.start_ms <= self._oldest_ms:
            return False
        width_ms = GROWTH * (self.end_ms - self.start_ms)
        self.end_ms = self.start_ms
        if self._dense_ms is not None and self._dense_ms < self.end_ms:
            width_ms = (self.end_ms - self._dense_ms) // 2
        self._begin(width_ms)
        return True

    def _begin(self, width_ms: int) -> None:
        self.start_ms = max(self._oldest_ms or 0, self.end_ms - max(1, width_ms))


def _milliseconds(bound: str) -> int:
    return int(bound[:8] + bound[9:13], 16)


def _encode(bound: str) -> str:
    return base64.urlsafe_b64encode(bound.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    try:
        bound = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        bound = ""
    if not _BOUND.fullmatch(bound) or _encode(bound) != cursor:
        raise Problem(
            problems.BAD_CURSOR, "The cursor is none of ours; take it from the page before."
        )
    return bound
