"""What happens before the first message is taken: the children start, AWS is looked for.

Both at once: a worker that starts is what somebody's image is waiting for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import structlog

from imagefleet_core.aws import Aws
from imagefleet_core.errors import Misconfigured, Unavailable
from imagefleet_core.queues import Queues
from imagefleet_core.s3 import S3Store
from imagefleet_core.sqs import SqsQueues
from imagefleet_core.store import Store
from imagefleet_worker import loops
from imagefleet_worker.children.decoders import Decoders
from imagefleet_worker.children.runners import Runner
from imagefleet_worker.drain import TICK_S, Stop
from imagefleet_worker.machine.container_memory import usable_memory
from imagefleet_worker.machine.cpus import usable_cpus
from imagefleet_worker.memory import share_out
from imagefleet_worker.outage import Outage
from imagefleet_worker.pipeline import Tools
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.worker import Worker

# How long AWS is waited for: a worker may start a little before its emulator or its network.
PATIENCE_S = 60.0
# Every stage tries again by itself; the second try is for a connection that was closed meanwhile.
AWS_ATTEMPTS = 2

log = structlog.get_logger()


def run(settings: WorkerSettings, runner: Runner, stop: Stop) -> None:
    """Start a worker and let it work until it's told to stop.

    Args:
        runner: what works on the images; may still be starting.

    Raises:
        ChildLost: the network or the user's image function can't be used; no message was touched.
        ImagefleetError: AWS, a bucket or the queue of requests isn't there; or the worker was of
            no use any more.
    """
    began = time.monotonic()
    count = settings.decoders or usable_cpus()
    memory = share_out(settings.memory_mb, usable_memory())
    with Decoders(
        count=count,
        max_pixels=settings.max_pixels,
        limit_s=settings.decode_limit_s,
        memory_bytes=memory.decoding,
    ) as decoders:
        store, queues = connect(settings)
        await_aws(settings, store, queues, stop, clock=time.monotonic, pause=time.sleep)
        processor = runner.await_ready()
        decoders.await_ready()
        tools = Tools(
            name=processor.name,
            recipe=processor.recipe,
            decode=partial(decoders.decode, recipe=processor.recipe),
            decoders=count,
            process=runner.process,
            memory=memory,
        )
        worker = Worker(settings, store, queues, tools, stop, image_s=processor.image_s)
        log.info(
            "the worker is ready",
            worker=settings.worker,
            model=processor.name,
            decoders=count,
            after_s=round(time.monotonic() - began, 2),
        )
        if settings.metrics_port:
            loops.beside("telling metrics", lambda: _tell(settings, worker, decoders, runner))
        worker.run()
    log.info("the worker has stopped")


def _tell(settings: WorkerSettings, worker: Worker, decoders: Decoders, runner: Runner) -> None:
    from imagefleet_worker import metrics  # 10 ms, for those who want it

    metrics.serve(settings, worker, decoders, runner)


def connect(settings: WorkerSettings) -> tuple[Store, Queues]:
    """Return the store and the queues, with a connection for every thread."""
    aws = Aws(attempts=AWS_ATTEMPTS)
    s3 = aws.s3(connections=2 * settings.io_threads)
    store = S3Store(s3, input_bucket=settings.input_bucket, results_bucket=settings.results_bucket)
    # One each for receiving, extending and reporting, two each for replying and deleting, and
    # one for whatever is given back.
    return store, SqsQueues(aws.sqs(connections=8))


def await_aws(
    settings: WorkerSettings,
    store: Store,
    queues: Queues,
    stop: Stop,
    *,
    clock: Callable[[], float],
    pause: Callable[[float], object],
) -> None:
    """Return when both buckets and the queue of requests answer, or when asked to stop.

    Raises:
        Misconfigured, QueueMissing: waiting won't help.
        Unavailable: they haven't answered within `PATIENCE_S`.
    """
    outage, deadline = Outage("looking for AWS", clock), clock() + PATIENCE_S
    while not stop.asked:
        try:
            queues.open(settings.requests_queue).counts()
            store.ping()
            outage.answered()
            return
        except Misconfigured:
            raise
        except Unavailable as error:
            if clock() >= deadline:
                raise
            resume_at = clock() + outage.failed(error)
        while clock() < resume_at and not stop.asked:
            pause(TICK_S)
