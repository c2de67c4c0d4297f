"""How long to wait before the next try."""

from __future__ import annotations

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


def pause_s(tries: int) -> float:
    """Return the seconds to wait after so many tries that failed, the last one included."""
    # AWS clients add jitter to their own retries, so workers don't come back in step.
    return float(min(FIRST_PAUSE_S * 2 ** min(tries - 1, 10), LONGEST_PAUSE_S))
