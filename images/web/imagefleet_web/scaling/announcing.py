"""Tells the scaler of new work, so that one at rest wakes at once and knows how much there is.

Only a hint: the scaler counts the queue by itself, later. So what is lost costs seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Event, Lock

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.queues import Queue
from imagefleet_core.telemetry import Announcement

log = structlog.get_logger()

# What comes meanwhile is told together: a call a second however many upload.
PACE_S = 1.0
# A turn ends so often though there is nothing to tell, for those who want to stop.
LONGEST_TURN_S = 5.0


class Announcer:
    """Gathers how much was queued, and sends it; safe to share between threads.

    Args:
        telemetry: the queue that the scaler listens at.
    """

    def __init__(self, telemetry: Queue) -> None:
        self._telemetry = telemetry
        self._lock = Lock()
        self._some = Event()
        self._images = 0

    def queued(self, images: int) -> None:
        """Take note of images that were queued just now; returns at once."""
        with self._lock:
            self._images += images
        self._some.set()

    def turn(self) -> float:
        """Tell of what was queued, as soon as something was; return the seconds to rest then."""
        if not self._some.wait(LONGEST_TURN_S):
            return 0
        with self._lock:
            images, self._images = self._images, 0
            self._some.clear()
        try:
            self._telemetry.send([Announcement(images, datetime.now(UTC)).encode()])
        except ImagefleetError as error:
            log.debug("the scaler was not told of new work", reason=str(error))
        return PACE_S
