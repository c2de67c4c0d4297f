"""Gives the images that no worker could finish a `failed` result.

A request that was received too often without being deleted comes to the dead-letter queue: the
image ended its worker each time, or failed with it. Any number of processes may do this at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from imagefleet_core.errors import DecodeError, ImagefleetError, QueueMissing, Unavailable
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import Failure, Request, Result
from imagefleet_core.keys import dropped_key
from imagefleet_core.queues import MAX_WAIT_S, Message, Queues
from imagefleet_core.store import Store
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.ways import Heard, Way, nobody

log = structlog.get_logger()

VISIBILITY_S = 60
# How often to look at least, though nobody is there who could be told.
QUIET_S = 300.0

WORKER_CRASHED = Failure(
    "worker_crashed",
    "Every worker that tried this image ended or failed before it had a result.",
)


class Janitor:
    """Empties the dead-letter queue; `turn` takes what is there. For one thread.

    Args:
        wait: waits for up to so many seconds until there is somebody to tell.
        heard: told of the results that are given.
    """

    def __init__(
        self,
        queues: Queues,
        store: Store,
        hub: Hub,
        *,
        dead_letters: str,
        process: str,
        wait: Callable[[float], object] = lambda _: True,
        heard: Heard = nobody,
    ) -> None:
        self._queues = queues
        self._dead_letters = queues.open(dead_letters)
        self._store = store
        self._hub = hub
        self._process = process
        self._wait = wait
        self._heard = heard
        self._more_likely = True

    def turn(self) -> float:
        """Fail the images of the dead letters that arrive; return seconds until the next turn.

        Raises:
            Unavailable: some letters could not be answered. They come again, the others are gone.
        """
        if not self._more_likely:
            self._wait(QUIET_S)
        letters = self._dead_letters.receive(wait_s=MAX_WAIT_S, visibility_s=VISIBILITY_S)
        self._more_likely = bool(letters)
        kept = sum(not self._answered(letter) for letter in letters)
        if kept:
            raise Unavailable(f"{kept} of {len(letters)} dead letters are left for later")
        return 0

    def _answered(self, letter: Message) -> bool:
        """Answer one letter and delete it; return whether that went well."""
        try:
            for request in _decode(letter):
                self._fail(request)
            # Last: a process that ends before leaves the letter to another one.
            self._dead_letters.delete([letter.receipt])
        except ImagefleetError as error:
            log.warning("dead letter not answered yet", reason=str(error))
            return False
        except Exception:
            log.exception("dead letter can't be answered", data=letter.body)
            return False
        return True

    def _fail(self, request: Request) -> None:
        now = datetime.now(UTC)
        result = Result(
            job=request.job,
            name=request.name,
            top=(),
            error=WORKER_CRASHED,
            model="",
            worker=self._process,
            submitted_at=request.submitted_at,
            started_at=now,
            finished_at=now,
            key=dropped_key(request.key),
        )
        if self._store.put_result(result):
            log.warning("image given up", job=str(request.job), key=request.key)
            self._heard(result, Way.DEAD_LETTER)
            self._tell(result, request.reply_to)

    def _tell(self, result: Result, reply_to: str | None) -> None:
        self._hub.publish(result)
        if reply_to is None:
            return
        try:
            self._queues.open(reply_to).send([result.encode()])
        except (QueueMissing, Unavailable) as error:  # whoever waits finds it in the store
            log.info("no reply sent", job=str(result.job), reason=str(error))


def _decode(message: Message) -> list[Request]:
    try:
        return decode_requests(message.body)
    except DecodeError as error:
        reason = str(error)
    # Nobody can be told and no try can help, so the log is where it is kept, whole.
    log.error("dead letter can't be read", reason=reason, data=message.body)
    return []
