"""The messages this worker holds, kept hidden from others for as long as it works on them.

How visibility works:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from imagefleet_core.errors import QueueMissing, Unavailable
from imagefleet_core.jobs import JobId
from imagefleet_core.queues import BATCH, Message, Queue
from imagefleet_worker.outage import Outage

# Whatever is held for longer hangs, or waits for what only this worker can't reach: the message
# goes back to the others, and after its last try to the dead-letter queue.
LONGEST_HOLD_S = 300.0
# How often the leases are looked at.
LOOK_S = 1.0
# An image that failed for no fault of its own comes back after this long. No longer after further
# tries: whoever waits for a hopeless one waits for all of them.
RETRY_S = 5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One message that was received, and those of its images that have no result yet."""

    message: Message
    taken_at: float
    images: int
    unfinished: set[JobId]


class Leases:
    """Knows which deliveries are this worker's own, and extends them; safe between threads.

    Args:
        queue: where the messages came from.
        visibility_s: how long a message stays hidden after it was received or extended.
        most: tells how many images may be held at once.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        visibility_s: int,
        most: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._visibility_s = visibility_s
        self._most = most
        self._clock = clock
        self._outage = Outage("extending visibility", clock)
        self._changed = threading.Condition()
        self._ends: dict[Delivery, float] = {}
        self._idle_since = clock()
        self._newest: datetime | None = None

    def take(self, message: Message, jobs: Iterable[JobId]) -> Delivery:
        """Hold a message that was just received until all its `jobs` are finished."""
        now, unfinished = self._clock(), set(jobs)
        delivery = Delivery(message, now, len(unfinished), unfinished)
        with self._changed:
            self._ends[delivery] = now + self._visibility_s
            self._newest = max(message.sent_at, self._newest or message.sent_at)
        return delivery

    def owns(self, delivery: Delivery) -> bool:
        """Return whether the message is still this worker's own."""
        # By the clock too: extending may hang while visibility runs out.
        return self._ends.get(delivery, float("-inf")) > self._clock()

    def held(self) -> int:
        """Return how many images are held."""
        with self._changed:
            return self._held()

    def oldest(self) -> datetime | None:
        """Return when the oldest message that is held was sent, by the queue's clock."""
        with self._changed:
            return min((each.message.sent_at for each in self._ends), default=None)

    def newest(self) -> datetime | None:
        """Return when the newest message that was ever held was sent, by the queue's clock."""
        return self._newest

    def idle_s(self) -> float:
        """Return for how many seconds nothing has been held."""
        with self._changed:
            return 0.0 if self._ends else self._clock() - self._idle_since

    def wait_for_room(self, wait_s: float) -> int:
        """Return how many images more may be held, waiting up to `wait_s` for there to be any.

        It's worth a call only if there is room for ten, or for half of all where that is less.
        """
        with self._changed:
            most = self._most()
            worth = max(1, min(BATCH, most // 2))
            self._changed.wait_for(lambda: most - self._held() >= worth, wait_s)
            room = most - self._held()
            return room if room >= worth else 0

    def finish(self, delivery: Delivery, job: JobId) -> bool:
        """Take note of a result; return whether the message may be deleted now."""
        with self._changed:
            delivery.unfinished.discard(job)
            return not delivery.unfinished and delivery in self._ends

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Let go of deliveries: they are deleted, given back, or somebody else's."""
        with self._changed:
            for delivery in deliveries:
                if self._ends.pop(delivery, None) is not None:
                    self._idle_since = self._clock()
            self._changed.notify_all()

    def give_back(self, deliveries: Iterable[Delivery], after_s: int = RETRY_S) -> None:
        """Let others have these messages `after_s` seconds from now."""
        own = [delivery for delivery in deliveries if self.owns(delivery)]
        self.release(own)
        try:
            self._queue.change_visibility([each.message.receipt for each in own], after_s)
        except (Unavailable, QueueMissing) as error:
            log.warning("not given back, visible later", messages=len(own), reason=str(error))

    def give_back_all(self) -> int:
        """Let others have everything at once; return how many messages that were."""
        with self._changed:
            held = list(self._ends)
        self.give_back(held, 0)
        return len(held)

    def turn(self) -> float:
        """Extend what has to be, let go of what is lost; return the seconds to pause after it."""
        with self._changed:
            now, ends = self._clock(), dict(self._ends)
        self._lose([delivery for delivery, end in ends.items() if end <= now])
        hanging = [each for each in ends if now - each.taken_at > LONGEST_HOLD_S]
        if hanging:
            log.error("held for too long, given back", messages=len(hanging))
            self.give_back(hanging)
        due = {
            delivery.message.receipt: delivery
            for delivery, end in ends.items()
            if end - now <= self._visibility_s * 2 / 3 and self.owns(delivery)
        }
        if due:
            self._extend(due, now + self._visibility_s)
        return LOOK_S

    def _held(self) -> int:
        return sum(delivery.images for delivery in self._ends)

    def _extend(self, due: dict[str, Delivery], end: float) -> None:
        try:
            refused = self._queue.change_visibility(due, self._visibility_s)
        except (Unavailable, QueueMissing) as error:
            self._outage.failed(error)
            return
        self._outage.answered()
        self._lose([due.pop(receipt) for receipt in refused])
        with self._changed:
            # One that was let go of in the meantime must not come back.
            self._ends.update({each: end for each in due.values() if each in self._ends})

    def _lose(self, deliveries: list[Delivery]) -> None:
        lost = [delivery for delivery in deliveries if delivery in self._ends]
        if lost:
            log.warning("visibility ran out, messages belong to others now", messages=len(lost))
            self.release(lost)
