"""Keeps the callbacks that are to be sent, until each was heard or given up.

A process holds those of the uploads that it took, and those of processes that ended: nobody else
touches a note while it is held, and a hold that is not renewed runs out. As it may run out amid a
try, and a process may end between a try and the deletion of the note, a receiver may be told more
than once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from threading import Event

import structlog

from imagefleet_core.errors import Unavailable
from imagefleet_core.jobs import Result
from imagefleet_web.callbacks.delivery import Delivery
from imagefleet_web.callbacks.held import Held, client_of
from imagefleet_web.callbacks.holdings import Holdings
from imagefleet_web.callbacks.lanes import Lanes
from imagefleet_web.callbacks.note import Note, Notes
from imagefleet_web.callbacks.takeover import MOST, MOST_AT_ONCE, Takeover
from imagefleet_web.callbacks.tries import Tries
from imagefleet_web.telling.results import Results

log = structlog.get_logger()

# Results come by replies; a look into the store finds those whose reply was lost or went to another
# process. The time between two looks doubles, up to this.
LONGEST_LOOK_S = 600.0
# As many may be looked for often; the more there are beyond, the rarer, as it is one after another.
OFTEN_LOOKED_FOR = 200
# A batch that is not finished by then will never be: its requests are gone, see infra/data.yaml.
LONGEST_LIFE = timedelta(days=7)


class Keeper:
    """Safe to share between threads; `turn` is for one thread.

    Args:
        holder: names this process, as no other was ever named.
        hold_s: how long a note is held at least.
        most_of_one: how many one client may have outstanding in this process.
    """

    def __init__(
        self,
        notes: Notes,
        results: Results,
        delivery: Delivery,
        lanes: Lanes,
        *,
        holder: str,
        hold_s: float,
        most_of_one: int,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        chance = chance or random.Random()  # noqa: S311  # spreads load, hides nothing
        self._notes = notes
        self._results = results
        self._lanes = lanes
        self._most_of_one = most_of_one
        self._clock = clock
        self._wake = Event()
        self._holdings = Holdings(notes, holder=holder, hold_s=hold_s, clock=clock)
        self._tries = Tries(self._holdings, delivery, clock=clock, chance=chance)
        self._takeover = Takeover(notes, self._holdings, clock=clock, chance=chance)

    def has_room(self, owner: str | None, url: str) -> bool:
        """Return whether a client may have one more outstanding."""
        client = client_of(owner, url)
        of_it = sum(each.client == client for each in self._holdings.all())
        return of_it < self._most_of_one and len(self._holdings) < MOST

    def keep(
        self,
        batch: str,
        numbers: Iterable[int],
        url: str,
        owner: str | None,
        *,
        unheard_for_s: float = 0.0,
    ) -> None:
        """Note that `url` is to be told of a batch; raises `Unavailable`.

        Args:
            numbers: of its jobs.
            unheard_for_s: for how long results are to be expected that no reply tells of, so that
                looks alone find them.
        """
        hold_s, now = self._holdings.hold_s, datetime.now(UTC)
        note = Note(url, owner, now, holder=self._holdings.holder, hold_s=hold_s)
        version = self._notes.write(batch, note)
        if version is None:
            raise Unavailable(f"the batch {batch} has a callback already")
        self._holdings.add(batch, note, version, set(numbers), hold_s / 2, unheard_for_s)
        self._wake.set()

    def drop(self, batch: str) -> None:
        """Forget the callback of a batch that is no more, if there is one."""
        self._holdings.forget(batch)
        try:
            self._notes.delete(batch)
        except Unavailable as error:  # whoever comes to send it finds that the batch is gone
            log.warning("callback left behind", batch=batch, reason=str(error))

    def hear(self, result: Result) -> None:
        """Take note of a result that became known."""
        held = self._holdings.get(result.job.batch)
        if held and held.finish(result.job.number):
            held.due = self._clock()
            self._wake.set()

    def turn(self) -> float:
        """Do what is due, and wait for more; return seconds until the next turn."""
        self._wake.clear()
        self._wake.wait(self.step())
        return 0

    def step(self) -> float:
        """Do what is due; return in how many seconds something will be, if nothing happens."""
        self._takeover.step()
        now = self._clock()
        due = [each for each in self._holdings.all() if each.due <= now and not each.sending]
        # What can be sent goes first, and not so much is done that it takes long.
        for held in sorted(due, key=lambda each: not each.finished)[:MOST_AT_ONCE]:
            self._advance(held)
        times = [each.due for each in self._holdings.all() if not each.sending]
        return max(0.0, min([self._takeover.due, *times]) - self._clock())

    def close(self) -> None:
        """Let go whoever waits; what is held is left to other processes."""
        self._wake.set()

    def _advance(self, held: Held) -> None:
        """Do the next thing about a callback."""
        if held.over:
            self._holdings.end(held)
        elif held.finished:
            held.sending = True
            self._lanes.run(held.client, lambda: self._send(held))
        else:
            try:
                self._look(held)
            except Unavailable as error:
                self._holdings.put_off(held, error)

    def _send(self, held: Held) -> None:
        self._tries.send(held)
        held.sending = False
        self._wake.set()

    def _look(self, held: Held) -> None:
        """See whether the batch is finished by now; if not, go on holding its callback."""
        counts = self._results.counts([held.batch]).get(held.batch)
        if counts is None:
            log.info("callback dropped", batch=held.batch, reason="the batch is gone")
            self._holdings.end(held)
        elif counts.finished >= counts.total:
            held.missing = set()
        elif datetime.now(UTC) - held.note.created_at > LONGEST_LIFE:
            log.warning("callback given up", batch=held.batch, reason="it was never finished")
            self._holdings.end(held)
        else:
            pause_s = self._pause_s(held)
            held.due = self._clock() + pause_s
            if held.finished:  # as was heard meanwhile
                held.due = self._clock()
            self._holdings.renew(held, 2 * pause_s)

    def _pause_s(self, held: Held) -> float:
        """Return how long after a look the next one comes."""
        now = self._clock()
        if now >= held.often_until:
            held.look_s = min(2 * held.look_s, LONGEST_LOOK_S)
            return held.look_s
        often = sum(each.often_until > now and not each.finished for each in self._holdings.all())
        return min(LONGEST_LOOK_S, held.look_s * max(1.0, often / OFTEN_LOOKED_FOR))
