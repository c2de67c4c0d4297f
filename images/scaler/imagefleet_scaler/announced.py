"""What the web tier tells of images before the queue's own counts do, which lag."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from imagefleet_core.telemetry import Announcement

# By then the counts of the queue tell of it themselves, and somebody boots.
FRESH_S = 10.0
# What was announced longer ago, by the web tier's clock, waited for a scaler that was away: by now
# it may be done, and the counts tell of what is not.
STALE_S = 60.0


@dataclass(frozen=True, slots=True)
class Counted:
    """How many images had no result at a moment, in Unix seconds, as the queue counted them."""

    images: int = 0
    at: float = float("-inf")


class Announced:
    """How many images were announced lately and are not done yet; each counts once."""

    def __init__(self) -> None:
        self._lately: deque[tuple[float, int, int]] = deque()
        self._seen: deque[tuple[datetime, int]] = deque(maxlen=1000)

    def hear(self, announcements: list[Announcement], now: float, done: int, seen: Counted) -> None:
        """Take in what came, by our clock `now`.

        Args:
            done: how many images the workers had told to be done, of whatever time, before any
                report that came beside these.
            seen: the last count: the results of what was announced come after those of these.
        """
        for each in announcements:
            identity = (each.at, each.images)
            is_stale = abs(now - each.at.timestamp()) > STALE_S
            if identity not in self._seen and not is_stale:
                self._seen.append(identity)
                # By its own clock: what was sent before the count may be in it.
                before = seen.images if each.at.timestamp() > seen.at else 0
                self._lately.append((now, each.images, done + before))

    def images(self, now: float, done: int) -> int:
        """Return the images of the last seconds that are not done yet.

        Args:
            done: as above, by now.
        """
        while self._lately and not 0 <= now - self._lately[0][0] <= FRESH_S:
            self._lately.popleft()
        if not self._lately:
            return 0
        _, _, done_before = self._lately[0]
        done_since = max(0, done - done_before)
        return max(0, sum(images for _, images, _ in self._lately) - done_since)
