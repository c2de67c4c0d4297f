"""The end of an image's way: its result is stored, told, and its message deleted last of all.

So a worker may die at any instruction; doing any of it twice is harmless.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache

import structlog

from imagefleet_core import replies
from imagefleet_core.errors import QueueMissing, Unavailable
from imagefleet_core.jobs import Result
from imagefleet_core.queues import BATCH, Queue, Queues
from imagefleet_core.store import Store
from imagefleet_worker.leases import Leases
from imagefleet_worker.stage import Stage
from imagefleet_worker.work import Finished, Image

# How long replies wait for more of them: a call for ten costs what a call for one does.
GATHER_S = 0.02
# Nobody waits for a message to be deleted, so this may wait so many times longer.
PATIENCE = 10
# Replying and deleting ten takes a call each, so two threads do for many images a second.
MESSENGERS = 2
# Web processes whose reply queues are kept open.
REPLY_QUEUES = 64

log = structlog.get_logger()


class Finishing:
    """Three stages: storing, replying, deleting.

    Args:
        requests: the queue that the messages came from.
        spoil: takes an image that fails in a way nobody thought of.
        count: hears of every result that was stored.
        storers: how many results are stored at once.
        clock: seconds that only go forward.
        gather_s: how long replies wait for more of them.
    """

    def __init__(
        self,
        store: Store,
        queues: Queues,
        requests: Queue,
        leases: Leases,
        *,
        spoil: Callable[[Image], None],
        count: Callable[[Result], None],
        storers: int,
        clock: Callable[[], float],
        gather_s: float = GATHER_S,
    ) -> None:
        self._store = store
        self._requests = requests
        self._leases = leases
        self._count = count
        self._reply_queue = lru_cache(REPLY_QUEUES)(queues.open)
        self.storing = Stage("storing results", self._keep, spoil, clock=clock, threads=storers)
        self.replying = Stage(
            "replying",
            self._reply,
            spoil,
            clock=clock,
            threads=MESSENGERS,
            at_most=BATCH,
            gather_s=gather_s,
            more_coming=lambda: leases.held() > self.replying.waiting(),
        )
        self.deleting = Stage(
            "deleting requests",
            self._delete,
            spoil,
            clock=clock,
            threads=MESSENGERS,
            at_most=BATCH,
            gather_s=PATIENCE * gather_s,
            more_coming=lambda: leases.held() > self.deleting.waiting(),
        )

    def _keep(self, images: list[Finished]) -> None:
        for image in images:
            counts = self._store.put_result(image.result)
            self._count(image.result)
            _say(image.result)
            # A late failure of an image that has its label already is nobody's news.
            told = counts and image.request.reply_to is not None
            (self.replying if told else self.deleting).put([image])

    def _reply(self, images: list[Finished]) -> None:
        bodies = defaultdict(list)
        for image in images:
            bodies[image.request.reply_to or ""].append(replies.encode(image.result))
        for name, told in bodies.items():
            try:
                self._reply_queue(name).send(told)
            except (Unavailable, QueueMissing) as error:
                log.warning("replies were not sent", replies=len(told), reason=str(error))
        self.deleting.put(images)

    def _delete(self, images: list[Finished]) -> None:
        over = {
            image.delivery
            for image in images
            if self._leases.finish(image.delivery, image.request.job)
        }
        if over:
            self._requests.delete([delivery.message.receipt for delivery in over])
            self._leases.release(over)


def _say(result: Result) -> None:
    took_s = (result.finished_at - result.started_at).total_seconds()
    about = log.bind(job=str(result.job), name=result.name, took_s=round(took_s, 3))
    if result.error:
        about.info("image failed", code=result.error.code, reason=result.error.message)
    else:
        about.info("image classified", label=result.label, score=result.score)
