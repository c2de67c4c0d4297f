"""When a callback that was not taken is sent again."""

from __future__ import annotations

import random

# After each try that failed, so eight in all within some twelve hours. The first are for what
# passes by itself, the last for what somebody has to mend.
DELAYS_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 3 * 3600.0, 8 * 3600.0)
# No receiver puts a callback off for longer than this with each answer.
LONGEST_RETRY_AFTER_S = 8 * 3600.0
_SPREAD = 0.2


def delay_s(tries: int, retry_after_s: float, chance: random.Random) -> float | None:
    """Return how long to wait after so many tries in vain, None if there is no other.

    Args:
        retry_after_s: what the receiver asked for; it makes no delay shorter.
    """
    if tries > len(DELAYS_S):
        return None
    planned = DELAYS_S[tries - 1] * chance.uniform(1 - _SPREAD, 1 + _SPREAD)
    return max(planned, min(retry_after_s, LONGEST_RETRY_AFTER_S))
