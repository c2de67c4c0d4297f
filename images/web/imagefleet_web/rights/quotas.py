"""How many images one client may upload in a day (UTC), over all processes and their restarts.

Each process counts in memory, tells the store at most every ten seconds what is new, and learns by
that what the others counted. So a quota is exceeded by at most what is uploaded meanwhile, and a
process that is killed forgets as much. Clients without a quota are not counted.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

import structlog

from imagefleet_core.errors import Unavailable
from imagefleet_core.store import Store
from imagefleet_web.rights.ratelimit import PER_DAY, Limit
from imagefleet_web.rights.usage import Ledger, Usage

log = structlog.get_logger()

DAY_S = 24 * 3600
# How long the store is not told of what was counted.
TELL_EVERY_S = 10.0
# How old may be what is known of others' counts while a client uploads.
FRESH_S = 30.0
# After the store did not answer.
AGAIN_S = 5.0
# Clients that are remembered; the one that came longest ago is forgotten first, and read again.
MOST_CLIENTS = 10_000
# What the end of a process waits for.
LAST_WORDS_S = 0.5


@dataclass(frozen=True, slots=True)
class Day:
    """A client's quota and what is left of it.

    Attributes:
        limit: images in a day.
        used: images that were uploaded today, as far as this process knows.
        ends_at: when a new day begins, and `ends_in_s` in how many whole seconds.
    """

    limit: int
    used: int
    ends_at: datetime
    ends_in_s: int

    @property
    def left(self) -> int:
        """How many images may be uploaded today."""
        return max(0, self.limit - self.used)

    def as_limit(self) -> Limit:
        """Return it as the headers tell it."""
        return Limit(PER_DAY, self.limit, DAY_S, self.left, self.ends_in_s)


class Quotas:
    """Keeps count of each client; safe to share between threads.

    Args:
        limit_of: how many images a client may upload in a day, 0 for any.
        process: this process's name, which no other ever had.
        wall_clock: tells the day, in seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        pool: Executor,
        limit_of: Callable[[str], int],
        *,
        process: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = Ledger(store)
        # One that was forgotten and comes again is counted anew, beside what it told before.
        self._counters = (f"{process}-{number}" for number in itertools.count(1))
        self._pool = pool
        self._limit_of = limit_of
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = Lock()
        self._known: OrderedDict[str, Usage] = OrderedDict()

    def day(self, client: str) -> Day | None:
        """Return how a client stands today, None if it has no quota.

        Waits for the store where nothing is known of the client's day yet; while the store does not
        answer, what this process counted is all that is known.
        """
        limit = self._limit_of(client)
        if not limit:
            return None
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        ends_at = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        usage = self._usage(client, f"{now:%Y-%m-%d}")
        self._freshen(usage)
        return Day(limit, usage.images, ends_at, math.ceil((ends_at - now).total_seconds()))

    def charge(self, client: str, images: int) -> None:
        """Count images that a client uploaded."""
        if images and self._limit_of(client):
            now = datetime.fromtimestamp(self._wall_clock(), UTC)
            usage = self._usage(client, f"{now:%Y-%m-%d}")
            with self._lock:
                usage.own += images

    def turn(self) -> float:
        """Tell the store what it doesn't know yet; return seconds until the next turn."""
        for telling in [self._pool.submit(self._tell, usage) for usage in self._untold()]:
            telling.result()
        return TELL_EVERY_S

    def close(self) -> None:
        """Tell the store what it doesn't know yet, as far as that goes at once."""
        with suppress(RuntimeError):  # the pool is closed already
            wait([self._pool.submit(self._tell, each) for each in self._untold()], LAST_WORDS_S)

    def _usage(self, client: str, day: str) -> Usage:
        """Return what is known of a client's day; of days before, nothing is any more."""
        with self._lock:
            usage = self._known.get(client)
            if usage is None or usage.day != day:
                usage = self._known[client] = Usage(client, day, next(self._counters))
            self._known.move_to_end(client)
            if len(self._known) > MOST_CLIENTS:
                self._known.popitem(last=False)
            return usage

    def _freshen(self, usage: Usage) -> None:
        """Learn what others counted: at once if nothing is known, else in the background."""
        try:
            if not usage.asked:
                self._pool.submit(self._read, usage).result()
            elif usage.stale_at <= self._clock():
                usage.stale_at = self._clock() + AGAIN_S  # so that one of many asks
                self._pool.submit(self._read, usage, again=True)
        except Unavailable as error:
            log.warning("usage not known", reason=str(error))

    def _read(self, usage: Usage, *, again: bool = False) -> None:
        with usage.busy:
            if usage.asked and not again:
                return  # another thread was faster
            try:
                self._ledger.read(usage)
                usage.stale_at = self._clock() + FRESH_S
            except Unavailable as error:
                log.warning("usage not known", reason=str(error))
                usage.stale_at = self._clock() + AGAIN_S
            usage.asked = True

    def _untold(self) -> list[Usage]:
        with self._lock:
            return [usage for usage in self._known.values() if usage.own != usage.written]

    def _tell(self, usage: Usage) -> None:
        with usage.busy:
            try:
                if self._ledger.write(usage):
                    usage.stale_at = self._clock() + FRESH_S
            except Unavailable as error:
                log.warning("usage not noted yet", reason=str(error))
