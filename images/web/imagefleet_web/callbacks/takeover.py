"""Takes over callbacks whose process ended, or got nowhere with them."""

from __future__ import annotations

import random
from collections.abc import Callable

import structlog

from imagefleet_core.errors import DecodeError, Unavailable
from imagefleet_web.callbacks.holdings import AGAIN_S, Holdings
from imagefleet_web.callbacks.note import Notes

log = structlog.get_logger()

# All that a system at rest asks for.
LIST_EVERY_S = 300.0
# Of one process, whoever they are for; a kilobyte or two each.
MOST = 10_000
# Looks that one thread takes in a row, tens of milliseconds each.
MOST_AT_ONCE = 25


class Takeover:
    """Knows which notes there are that this process does not hold; for one thread."""

    def __init__(
        self,
        notes: Notes,
        holdings: Holdings,
        *,
        clock: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._notes = notes
        self._holdings = holdings
        self._clock = clock
        self._chance = chance
        self._list_at = float("-inf")
        self._look_at: dict[str, float] = {}

    @property
    def due(self) -> float:
        """When there is something to do."""
        return min(self._list_at, *self._look_at.values(), float("inf"))

    def step(self) -> None:
        """Do what is due, as far as the store answers."""
        if self._list_at <= self._clock():
            self._list()
        due = [batch for batch, at in self._look_at.items() if at <= self._clock()]
        for batch in due[:MOST_AT_ONCE]:
            try:
                self._look(batch)
            except Unavailable as error:
                log.warning("callback not looked at", batch=batch, reason=str(error))
                self._look_at[batch] = self._clock() + AGAIN_S

    def _list(self) -> None:
        try:
            there = self._notes.batches(MOST)
        except Unavailable as error:
            log.warning("callbacks not listed", reason=str(error))
            self._list_at = self._clock() + AGAIN_S
            return
        # Each process at a moment of its own.
        self._list_at = self._clock() + LIST_EVERY_S * self._chance.uniform(0.8, 1.2)
        others = [batch for batch in there if batch not in self._holdings]
        self._look_at = {batch: self._look_at.get(batch, self._clock()) for batch in others}

    def _look(self, batch: str) -> None:
        """Take a note over if nobody holds it, else look again when its hold runs out."""
        del self._look_at[batch]
        if batch in self._holdings:
            return
        try:
            found = self._notes.read(batch)
        except DecodeError as error:
            log.warning("callback can't be read", batch=batch, reason=str(error))
            self._look_at[batch] = float("inf")
            return
        if found is None:
            return
        left_s = found.note.hold_s - found.age_s
        if left_s > 0:
            self._look_at[batch] = self._clock() + left_s + self._chance.random()
            return
        note = found.note.held_by(self._holdings.holder, self._holdings.hold_s)
        version = self._notes.write(batch, note, found.version)
        if version is None:
            self._look_at[batch] = self._clock() + self._holdings.hold_s
        else:
            log.info("callback taken over", batch=batch)
            self._holdings.add(batch, note, version, None, due_in_s=0)
