"""How many images a worker holds: enough to be never without work, and no more.

By Little's law (Operations Research 9(3), 1961) what is held is the throughput times the time
from receiving an image to deleting its message. What is held beyond that only waits, hidden from
workers that are idle, and comes back late if this worker is killed.
"""

from __future__ import annotations

import math

# An image's six calls to AWS take this long where each takes a slow 100 ms, its own work included;
# and it's soon enough for a visibility timeout of any length to be far off.
HELD_S = 1.0
# One that is worked on, and the next.
FEWEST = 2


def prefetch(service_s: float, most: int) -> int:
    """Return how many images to hold at once, `FEWEST` to `most`.

    Args:
        service_s: seconds of the busiest stage an image; 0 while nobody knows.
    """
    return most if service_s <= 0 else max(FEWEST, min(most, math.ceil(HELD_S / service_s)))
