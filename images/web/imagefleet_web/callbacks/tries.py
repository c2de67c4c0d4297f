"""Sends what is due, and plans the next try of what was not heard."""

from __future__ import annotations

import random
from collections.abc import Callable

import structlog

from imagefleet_core.errors import Unavailable
from imagefleet_web.callbacks import schedule
from imagefleet_web.callbacks.delivery import Delivery, Outcome
from imagefleet_web.callbacks.held import Held
from imagefleet_web.callbacks.holdings import Holdings

log = structlog.get_logger()


class Tries:
    """Safe to share between threads."""

    def __init__(
        self,
        holdings: Holdings,
        delivery: Delivery,
        *,
        clock: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._holdings = holdings
        self._delivery = delivery
        self._clock = clock
        self._chance = chance

    def send(self, held: Held) -> None:
        """Tell a receiver, and note what became of that; never raises."""
        try:
            if self._surely_held(held):
                self._settle(held, self._delivery.attempt(held.batch, held.note))
        except Unavailable as error:
            self._holdings.put_off(held, error)
        except Exception:
            log.exception("callback failed", batch=held.batch)
            self._retry(held, Outcome(False, "the fault is ours"))

    def _surely_held(self, held: Held) -> bool:
        """Return whether it is held for long enough for a try; raises `Unavailable`."""
        enough_s = self._holdings.hold_s / 2
        return held.left_s(self._clock()) >= enough_s or self._holdings.renew(
            held, self._holdings.hold_s
        )

    def _settle(self, held: Held, outcome: Outcome) -> None:
        if outcome.heard:
            log.info("callback heard", batch=held.batch, tries=held.note.tries + 1)
            self._holdings.end(held)
        elif outcome.over:
            log.info("callback dropped", batch=held.batch, reason=outcome.said)
            self._holdings.end(held)
        else:
            self._retry(held, outcome)

    def _retry(self, held: Held, outcome: Outcome) -> None:
        """Plan the next try, which is this process's while it lives; or give up."""
        tries = held.note.tries + 1
        delay_s = schedule.delay_s(tries, outcome.retry_after_s, self._chance)
        if delay_s is None:
            log.warning("callback given up", batch=held.batch, reason=outcome.said, tries=tries)
            self._holdings.end(held)
            return
        log.info(
            "callback not heard",
            batch=held.batch,
            reason=outcome.said,
            tries=tries,
            again_in_s=round(delay_s),
        )
        held.due = self._clock() + delay_s
        try:
            self._holdings.renew(held, delay_s + self._holdings.hold_s, tries)
        except Unavailable as error:  # another process may come to send it earlier
            log.warning("callback's try not noted", batch=held.batch, reason=str(error))
