"""How long boots take, as far as was seen, and which come to nothing."""

from __future__ import annotations

import math
import statistics
from collections import deque

from imagefleet_scaler.policy import HOPELESS_BOOTS

REMEMBERED = 50
# Fewer tell nothing of how long the slowest take.
ENOUGH = 5
# A boot that takes so many times longer than nearly all others will come to nothing.
GIVEN_UP_AFTER = 3.0
# Twenty at once on a laptop of two cores take longer than the one before them did.
LEAST_DEADLINE_S = 30.0
# Where none comes, the next ones get ever more time, up to so many times.
MOST_PATIENCE = 8


class Boots:
    """Learns from the boots of one fleet.

    Boots that come at all come before those that don't are given up. So what counts as a failure
    in a row is told by when they were launched, not by when that was known: a batch of which some
    came has not failed, and one that failed as a whole is one try, however many were in it.

    Args:
        deadline_s: seconds after which a boot is given up, until enough has been seen.
        expected_s: the usual time, as far as it is known before: three times that is waited.
        mixed: whether some are starts of stopped instances, whose short times tell nothing of how
            long the others take: then none is given up before `deadline_s`.
    """

    def __init__(self, deadline_s: float, expected_s: float = 0, *, mixed: bool = False) -> None:
        self._mixed = mixed
        self._longest_s = max(deadline_s, GIVEN_UP_AFTER * expected_s)
        self._seen: deque[float] = deque(maxlen=REMEMBERED)
        self._came_of = float("-inf")
        self._rounds = 0
        self.failed = 0
        self.failed_at = 0.0

    @property
    def usual_s(self) -> float | None:
        """The median, in seconds; None before the first."""
        return statistics.median(self._seen) if self._seen else None

    @property
    def deadline_s(self) -> float:
        """After how many seconds a boot is given up.

        Three times the 95th percentile, at most the setting. But a setting that is too short would
        never be found out. So it is doubled with each round in vain, from the first on where no
        boot was ever seen; and what came late is believed.
        """
        usual = sorted(self._seen)
        slow_s = usual[math.ceil(0.95 * len(usual)) - 1] if usual else 0.0
        longest_s = self._longest_s if slow_s <= self._longest_s else 2 * slow_s
        doubled = self._rounds - 1 if usual else self._rounds
        if doubled > 0:
            return longest_s * min(MOST_PATIENCE, 2.0**doubled)
        if len(usual) < ENOUGH or self._mixed:
            return longest_s
        return min(longest_s, max(LEAST_DEADLINE_S, GIVEN_UP_AFTER * slow_s))

    def came(self, launched_at: float, seconds: float) -> None:
        """Take in that a worker came to work, so many seconds after its launch."""
        self._seen.append(max(0.0, seconds))
        self._came_of = max(self._came_of, launched_at)
        self.failed = self._rounds = 0

    def came_to_nothing(self, launched_at: float, now: float) -> None:
        """Take in that one did not."""
        if launched_at <= self._came_of:
            return
        is_new_round = not self.failed or launched_at >= self.failed_at
        if self.failed >= HOPELESS_BOOTS and not is_new_round:
            return  # it was launched before anybody knew that it is hopeless
        self._rounds += is_new_round
        self.failed += 1
        self.failed_at = now
