"""This process's own replies queue: made, kept alive, read, removed at exit.

Each process has one, so none takes another's replies. A reply is the result itself, or tells that
it is in the store, and is only a hint: losing one costs time and nothing else. So nobody listens
while there is nobody to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from imagefleet_core import replies
from imagefleet_core.errors import DecodeError, QueueMissing, Unavailable
from imagefleet_core.jobs import JobId, Result
from imagefleet_core.queues import MAX_WAIT_S, Message, Queues
from imagefleet_web.telling import leftovers
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.results import Results
from imagefleet_web.telling.siblings import Siblings
from imagefleet_web.telling.ways import Heard, Way, nobody

log = structlog.get_logger()

# A reply that nobody took for so long has been found in the store meanwhile.
RETENTION_S = 300
# Long enough to publish ten; one that comes twice does no harm.
VISIBILITY_S = 30
# Well within what others take for a sign of life.
KEEP_EVERY_S = 240.0
CLEAN_EVERY = 4
# How long to wait at once until there is somebody to tell; what wakes that thread can't be missed.
PARKED_S = 60.0


class Replies:
    """The queue called `name`; `turn` and `keep` are turns of one thread each.

    Args:
        wait: waits for up to so many seconds until there is somebody to tell; returns whether.
        siblings: told of the replies that come, and listened to by a thread of its own, `overhear`.
        heard: told of the results that replies bring.
        dropped: told why a reply is thrown away.
    """

    def __init__(
        self,
        queues: Queues,
        hub: Hub,
        results: Results,
        *,
        prefix: str,
        name: str,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], bool] = lambda _: True,
        siblings: Siblings | None = None,
        heard: Heard = nobody,
        dropped: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._queues = queues
        self._queue = queues.open(name)
        self._hub = hub
        self._results = results
        self._prefix = prefix
        self.name = name
        self._clock = clock
        self._wait = wait
        self._siblings = siblings or Siblings()
        self._heard = heard
        self._dropped = dropped
        self._removed = False
        self._kept = 0

    def turn(self) -> float:
        """Listen once there is somebody to tell; return seconds until the next turn."""
        return self.listen() if self._wait(PARKED_S) else 0

    def listen(self) -> float:
        """Publish the replies that arrive, waiting for the first; return seconds until next."""
        try:
            messages = self._queue.receive(wait_s=MAX_WAIT_S, visibility_s=VISIBILITY_S)
        except QueueMissing:
            self._make()
            return 0
        told = [(message.body, self._read(message)) for message in messages]
        self._siblings.tell([body for body, reply in told if reply is not None])
        for _, reply in told:
            if isinstance(reply, Result):
                self._hub.publish(reply)
                self._heard(reply, Way.REPLY)
        if stored := [reply for _, reply in told if isinstance(reply, JobId)]:
            self._results.fetch(stored, self._heard)
        if messages:
            self._queue.delete([message.receipt for message in messages])
        return 0

    def overhear(self) -> float:
        """Publish replies that another process got; return seconds until the next turn.

        Of those that only tell where the result is, it gets those that somebody waits for here.
        """
        for body in self._siblings.hear() or ():
            with suppress(DecodeError):  # which the other one told of
                reply = replies.decode(body)
                if isinstance(reply, Result):
                    self._hub.publish(reply)
                elif self._hub.waits_for(reply):
                    self._results.fetch([reply])
        return 0

    def keep(self) -> float:
        """Show that this process lives, and remove the queues of those that do not."""
        try:
            self._queues.tag(self.name, leftovers.alive(self._clock()))
        except QueueMissing:
            self._make()
        if self._kept % CLEAN_EVERY == 0:
            leftovers.remove(self._queues, self._prefix, but=self.name, now=self._clock())
        self._kept += 1
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
            log.warning("reply can't be read", reason=str(error), data=error.excerpt)
            self._dropped("unreadable")
            return None

    def _make(self) -> None:
        if not self._removed:
            tags = leftovers.alive(self._clock())
            self._queues.create(self.name, retention_s=RETENTION_S, tags=tags)
            log.debug("replies queue made", queue=self.name)
