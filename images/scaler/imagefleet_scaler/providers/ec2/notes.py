"""What the journal tells of launches that may not be described yet, by whichever scaler."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_scaler.providers.ec2 import orders
from imagefleet_scaler.providers.ec2.ledger import EXPECTED_S
from imagefleet_scaler.providers.ec2.orders import Order
from imagefleet_scaler.providers.journal import Conflict, Journal

# A launch takes a call for each market, or for each type and subnet that has some to give.
MOST_NOTED = 20

log = structlog.get_logger()


class Notes:
    """The orders of the last two minutes.

    Args:
        now: Unix seconds.
    """

    def __init__(self, journal: Journal, now: Callable[[], float]) -> None:
        self._journal = journal
        self._now = now
        self._noted: list[Order] = []
        self._read = False
        self._fails = False

    def of_others(self) -> list[Order]:
        """Read the journal; return the orders that this scaler did not know of.

        Raises:
            ImagefleetError: it can't be read.
        """
        known = {order.token for order in self._noted}
        self._noted, self._read = self._recent(orders.decode(self._journal.read())), True
        return [order for order in self._noted if order.token not in known]

    def of_the_last_scaler(self) -> list[Order]:
        """Likewise, but nothing is read a second time."""
        return [] if self._read else self.of_others()

    def begin(self, order: Order) -> None:
        """Note an order before it is made; it goes on where the journal can't be written.

        Raises:
            Conflict: another scaler noted orders that this one does not know of, so it must not
                be made.
        """
        self._write(order)

    def end(self, order: Order) -> None:
        """Note what became of an order, where that is possible."""
        try:
            self._write(order)
        except Conflict as error:
            # Who wrote has read of the order, unless S3 was away, and finds out for itself.
            log.info("the outcome of a launch is not noted", reason=str(error))

    def _write(self, order: Order) -> None:
        others = [each for each in self._recent(self._noted) if each.token != order.token]
        self._noted = [*others, order]
        try:
            self._journal.write(orders.encode(self._noted))
        except Conflict:
            raise
        except ImagefleetError as error:
            if not self._fails:
                log.warning("a launch could not be noted for the next scaler", reason=str(error))
            self._fails = True
        else:
            self._fails = False

    def age_s(self, order: Order) -> float:
        """Return how long ago it was made; the clock of who made it may differ from ours."""
        return max(0.0, self._now() - order.at)

    def _recent(self, noted: list[Order]) -> list[Order]:
        """Return what a successor may need: those that launched nobody tell it nothing."""
        told = [each for each in noted if each.ids is None or each.ids]
        return [each for each in told if self.age_s(each) < EXPECTED_S][-MOST_NOTED:]
