"""How long boots take, as far as was seen, and which come to nothing."""

from __future__ import annotations

import math
import statistics
from collections import deque

REMEMBERED = 50
# Fewer tell nothing of how long the slowest take.
ENOUGH = 5
# A boot that takes so many times longer than nearly all others will come to nothing.
GIVEN_UP_AFTER = 3.0
LEAST_DEADLINE_S = 10.0


class Boots:
    """Learns from the boots of one fleet.

    Args:
        deadline_s: seconds after which a boot is given up, until enough has been seen.
    """

    def __init__(self, deadline_s: float) -> None:
        self._longest_s = deadline_s
        self._seen: deque[float] = deque(maxlen=REMEMBERED)
        self.failed = 0
        self.failed_at = 0.0

    @property
    def usual_s(self) -> float | None:
        """The median, in seconds; None before the first."""
        return statistics.median(self._seen) if self._seen else None

    @property
    def deadline_s(self) -> float:
        """After how many seconds a boot is given up: three times the 95th percentile."""
        if len(self._seen) < ENOUGH:
            return self._longest_s
        slow_s = sorted(self._seen)[math.ceil(0.95 * len(self._seen)) - 1]
        return min(self._longest_s, max(LEAST_DEADLINE_S, GIVEN_UP_AFTER * slow_s))

    def came(self, seconds: float) -> None:
        """Take in that a worker came to work, so many seconds after its launch."""
        self._seen.append(max(0.0, seconds))
        self.failed = 0

    def came_to_nothing(self, now: float) -> None:
        """Take in that one did not."""
        self.failed += 1
        self.failed_at = now
