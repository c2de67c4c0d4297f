"""Takes messages off the queue, as many as the worker has room for."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from imagefleet_core.errors import DecodeError, QueueMissing, Unavailable
from imagefleet_core.inbox import decode_requests
from imagefleet_core.queues import BATCH, Message, Queue
from imagefleet_worker.health.pressure import LOOK_S, relieve
from imagefleet_worker.leases import Leases
from imagefleet_worker.outage import Outage
from imagefleet_worker.stage import Stage
from imagefleet_worker.work import Image

# A message that nobody can read is on its way to the dead-letter queue, by being received too
# often. It goes there soon, but not in a busy loop where a queue has no dead-letter queue.
UNREADABLE_S = 1
# How long to look out for room before the stop flag is looked at again.
ROOM_WAIT_S = 0.5

log = structlog.get_logger()


class Consumer:
    """Feeds the pipeline; one thread takes its turns.

    Args:
        fetching: where the images begin their way.
        pressed: says what runs short, if anything does.
        wait_s: how long a receive waits for the first message, 0 to 20.
        visibility_s: how long a message stays hidden unless its lease is extended.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        queue: Queue,
        leases: Leases,
        fetching: Stage[Image],
        *,
        pressed: Callable[[], str],
        wait_s: int,
        visibility_s: int,
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._leases = leases
        self._fetching = fetching
        self._pressed = pressed
        self._wait_s = wait_s
        self._visibility_s = visibility_s
        self._outage = Outage("receiving requests", clock)

    def turn(self) -> float:
        """Receive if there is room for more; return the seconds to pause after it."""
        if self._pressed():
            relieve(self._fetching, self._leases)
            return LOOK_S
        room = self._leases.wait_for_room(ROOM_WAIT_S)
        return self._receive(min(room, BATCH)) if room else 0.0

    def _receive(self, at_most: int) -> float:
        try:
            messages = self._queue.receive(
                wait_s=self._wait_s, visibility_s=self._visibility_s, at_most=at_most
            )
        except (Unavailable, QueueMissing) as error:
            return self._outage.failed(error)
        self._outage.answered()
        for message in messages:
            self._take(message)
        return 0.0

    def _take(self, message: Message) -> None:
        try:
            requests = decode_requests(message.body)
        except DecodeError as error:
            self._refuse(message, error)
            return
        if requests:
            delivery = self._leases.take(message, [request.job for request in requests])
            self._fetching.put([Image(delivery, request) for request in requests])
        else:
            self._best_effort(lambda: self._queue.delete([message.receipt]))

    def _refuse(self, message: Message, error: DecodeError) -> None:
        if message.receives == 1:
            log.error(
                "unreadable, left for the dead-letter queue", reason=str(error), data=message.body
            )
        self._best_effort(lambda: self._queue.change_visibility([message.receipt], UNREADABLE_S))

    def _best_effort(self, call: Callable[[], object]) -> None:
        """Do what need not succeed: the message would only come back later."""
        try:
            call()
        except (Unavailable, QueueMissing) as error:
            log.warning("a message will come back", reason=str(error))
