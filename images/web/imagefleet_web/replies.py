"""This process's own replies queue: made, kept alive, read, removed at exit.

Each process has one, so none takes another's replies. A reply is the result itself, or tells that
it is in the store, and is only a hint: losing one costs time and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from imagefleet_core import replies
from imagefleet_core.errors import DecodeError, QueueMissing, Unavailable
from imagefleet_core.jobs import JobId, Result
from imagefleet_core.queues import MAX_WAIT_S, Message, Queues
from imagefleet_web import leftovers
from imagefleet_web.hub import Hub
from imagefleet_web.results import Results

log = structlog.get_logger()

# A reply that nobody took for so long has been found in the store meanwhile.
RETENTION_S = 300
# Long enough to publish ten; one that comes twice does no harm.
VISIBILITY_S = 30
KEEP_EVERY_S = 60.0


class Replies:
    """The queue called `name`; `listen` and `keep` are turns of one thread each."""

    def __init__(
        self,
        queues: Queues,
        hub: Hub,
        results: Results,
        *,
        prefix: str,
        name: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queues = queues
        self._queue = queues.open(name)
        self._hub = hub
        self._results = results
        self._prefix = prefix
        self.name = name
        self._clock = clock
        self._removed = False

    def listen(self) -> float:
        """Publish the replies that arrive, waiting for the first; return seconds until next."""
        try:
            messages = self._queue.receive(wait_s=MAX_WAIT_S, visibility_s=VISIBILITY_S)
        except QueueMissing:
            self._make()
            return 0
        told = [self._read(message) for message in messages]
        for reply in told:
            if isinstance(reply, Result):
                self._hub.publish(reply)
        if stored := [reply for reply in told if isinstance(reply, JobId)]:
            self._results.fetch(stored)
        if messages:
            self._queue.delete([message.receipt for message in messages])
        return 0

    def keep(self) -> float:
        """Show that this process lives, and remove the queues of those that do not."""
        try:
            self._queues.tag(self.name, leftovers.alive(self._clock()))
        except QueueMissing:
            self._make()
        leftovers.remove(self._queues, self._prefix, now=self._clock())
        return KEEP_EVERY_S

    def remove(self) -> None:
        """Remove the queue, as the process ends."""
        self._removed = True
        try:
            self._queues.remove(self.name)
        except Unavailable as error:  # the other processes see to it
            log.info("replies queue left behind", queue=self.name, reason=str(error))

    def _read(self, message: Message) -> Result | JobId | None:
        try:
            return replies.decode(message.body)
        except DecodeError as error:
            log.warning("reply can't be read", reason=str(error), data=error.data)
            return None

    def _make(self) -> None:
        if not self._removed:
            tags = leftovers.alive(self._clock())
            self._queues.create(self.name, retention_s=RETENTION_S, tags=tags)
            log.debug("replies queue made", queue=self.name)
