"""How much of this process one client may use: images a minute, and uploads at once.

The images of an upload are known only when it is read, so they are paid for afterwards: an upload
may begin while its client has credit left, and may bring it into debt. So the rate holds over any
longer time, and is exceeded for a moment by at most what is uploaded at once.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from imagefleet_web.rights.ratelimit import PER_MINUTE, Limit

# Clients that are remembered; the one whose credit changed longest ago is forgotten first.
MOST_CLIENTS = 10_000
# When to try again to upload more at once: soon, as an upload takes seconds.
UPLOADS_RETRY_S = 2


@dataclass(slots=True)
class _Credit:
    """A token bucket: images that may be uploaded, as of a time."""

    images: float
    at: float


class Shares:
    """Keeps count of each client; safe to share between threads.

    Args:
        images_a_minute: how fast credit grows, up to that of a minute; 0 for no limit.
        uploads: how many may run at once; 0 for no limit.
    """

    def __init__(
        self, *, images_a_minute: int, uploads: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = images_a_minute
        self._per_s = images_a_minute / 60
        self._uploads = uploads
        self._clock = clock
        self._lock = Lock()
        self._credits: OrderedDict[str, _Credit] = OrderedDict()
        self._running: Counter[str] = Counter()

    def begin(self, client: str) -> int:
        """Begin an upload; return 0, or in how many seconds to ask again if it may not begin."""
        with self._lock:
            if self._uploads and self._running[client] >= self._uploads:
                return UPLOADS_RETRY_S
            if self._most and (missing := 1 - self._images(client)) > 0:
                return math.ceil(missing / self._per_s)
            self._running[client] += 1
            return 0

    def end(self, client: str, images: int) -> None:
        """End an upload that began, and pay for its images."""
        with self._lock:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
            if self._most and images:
                self._credits[client] = _Credit(self._images(client) - images, self._clock())
                self._credits.move_to_end(client)
                if len(self._credits) > MOST_CLIENTS:
                    self._credits.popitem(last=False)

    def limit(self, client: str) -> Limit | None:
        """Return how a client's images stand, None where they have no limit."""
        if not self._most:
            return None
        with self._lock:
            images = self._images(client)
        left = max(0, math.floor(images))
        more_in_s = math.ceil((left + 1 - images) / self._per_s) if left < self._most else 0
        return Limit(PER_MINUTE, self._most, 60, left, more_in_s)

    def running(self, client: str) -> int:
        """Return how many uploads of a client run now."""
        with self._lock:
            return self._running[client]

    def _images(self, client: str) -> float:
        credit = self._credits.get(client)
        if credit is None:
            return self._most
        grown = (self._clock() - credit.at) * self._per_s
        return min(self._most, credit.images + grown)
