"""What happens before the first message is taken: the network is loaded, AWS is looked for.

Neither is imported before it's needed, and the two are done at once: a worker that starts is
what somebody's image is waiting for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from imagefleet_core.errors import Misconfigured, Unavailable
from imagefleet_worker.cpus import usable_cpus
from imagefleet_worker.drain import TICK_S, Stop
from imagefleet_worker.outage import Outage
from imagefleet_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from imagefleet_core.queues import Queues
    from imagefleet_core.store import Store
    from imagefleet_worker.classifiers import Classifier

# How long AWS is waited for: a worker may start a little before its emulator or its network.
PATIENCE_S = 60.0
# Every stage tries again by itself; the second try is for a connection that was closed meanwhile.
AWS_ATTEMPTS = 2

log = structlog.get_logger()


def run(settings: WorkerSettings, stop: Stop) -> None:
    """Start a worker and let it work until it's told to stop.

    Raises:
        ModelError: the network can't be loaded; no message was touched.
        ImagefleetError: AWS, a bucket or the queue of requests isn't there.
    """
    began = time.monotonic()
    cpus = usable_cpus()
    # OpenVINO gives the thread that loads it a signal stack of its own, and may free that early:
    # it must not be the thread that takes our signals.
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load_classifier, settings, cpus)
        store, queues = connect(settings)
        await_aws(settings, store, queues, stop, clock=time.monotonic, pause=time.sleep)
        classifier = loading.result()
    from imagefleet_worker.worker import Worker

    log.info(
        "the worker is ready",
        worker=settings.worker,
        model=classifier.model,
        runtime=settings.runtime,
        cpus=cpus,
        after_s=round(time.monotonic() - began, 2),
    )
    Worker(settings, store, queues, classifier, stop, cpus=cpus).run()
    log.info("the worker has stopped")


def load_classifier(settings: WorkerSettings, cpus: int) -> Classifier:
    """Return the network, warm; raises `ModelError`."""
    from imagefleet_worker import classifiers

    folder = Path(settings.model_dir) if settings.model_dir else classifiers.PACKAGED_MODEL
    classifier = classifiers.load(settings.runtime, folder, settings.threads or cpus)
    classifier.warm_up()
    return classifier


def connect(settings: WorkerSettings) -> tuple[Store, Queues]:
    """Return the store and the queues, with a connection for every thread."""
    from imagefleet_core.aws import Aws
    from imagefleet_core.queues import SqsQueues
    from imagefleet_core.store import S3Store

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
