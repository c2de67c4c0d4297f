"""A launch whose outcome nobody knows: its instances count until that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from imagefleet_scaler.providers.base import Instance, InstanceState
from imagefleet_scaler.providers.ec2.backoff import Backoff
from imagefleet_scaler.providers.ec2.ledger import EXPECTED_S
from imagefleet_scaler.providers.ec2.machines import Machine
from imagefleet_scaler.providers.ec2.orders import Order

RETRY_S = 5.0
LONGEST_RETRY_S = 60.0
# After that nobody repeats it: what it was to launch for is long over.
FORGOTTEN_S = 900.0


class Pending:
    """One order that may have been carried out.

    Args:
        order: as it was made, or may have been by another scaler.
        age_s: seconds since then.
        clock: seconds that only go forward.
    """

    def __init__(self, order: Order, age_s: float, clock: Callable[[], float]) -> None:
        self.order = order
        self._clock = clock
        self._since = clock() - age_s
        self._retry = Backoff(clock, RETRY_S, LONGEST_RETRY_S)
        self._seen: set[str] = set()
        self._carried_out = False

    @property
    def counts(self) -> bool:
        """Whether its instances count as launched."""
        return self._age_s < EXPECTED_S

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to learn of it."""
        if self._carried_out:
            return len(self._seen) >= self.order.count or not self.counts
        return self._age_s >= FORGOTTEN_S

    @property
    def is_due(self) -> bool:
        """Whether to repeat it now; AWS carries it out once, but emulators overlook the token."""
        return not (self._carried_out or self.is_over or self._retry.lasts)

    @property
    def _age_s(self) -> float:
        return self._clock() - self._since

    def take_in(self, machines: Iterable[Machine]) -> None:
        """Take in what is there: whatever carries the token shows that it was carried out."""
        self._seen |= {each.id for each in machines if each.token == self.order.token}
        self._carried_out |= bool(self._seen)

    def was_carried_out(self) -> None:
        """Take in that it was, though nobody says what it launched."""
        self._carried_out = True

    def still_unknown(self) -> None:
        """Take in that a repetition told nothing either."""
        self._retry.begin()

    def instances(self) -> list[Instance]:
        """Return one for each that may be there and was not seen yet."""
        if not self.counts:
            return []
        unseen = range(len(self._seen), self.order.count)
        mark = self.order.token[:8]
        return [
            Instance(f"launch-{mark}-{n}", InstanceState.RUNNING, self.order.at, expected=True)
            for n in unseen
        ]
