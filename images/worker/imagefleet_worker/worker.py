"""The worker: its parts put together, from the first message to the last farewell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from imagefleet_core.queues import Queues
from imagefleet_core.store import Store
from imagefleet_core.telemetry import WorkerState
from imagefleet_worker import loops
from imagefleet_worker.classifiers import Classifier
from imagefleet_worker.consumer import Consumer
from imagefleet_worker.decode import decode
from imagefleet_worker.drain import TICK_S, Stop, drain
from imagefleet_worker.finishing import GATHER_S, Finishing
from imagefleet_worker.heartbeat import Heartbeat
from imagefleet_worker.leases import Leases
from imagefleet_worker.pipeline import Pipeline
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.stage import Stage
from imagefleet_worker.telemetry import Reporter, Tally
from imagefleet_worker.work import Image

# How long an idle stage waits for work before it looks whether it's still needed.
STAGE_WAIT_S = 1.0
# What giving back and the last report may take, as AWS may not answer.
FAREWELL_S = 4.0

log = structlog.get_logger()


class Worker:
    """One worker process, all but its entry point.

    Every part takes turns, so tests can run it without a thread.

    Args:
        cpus: how many images are decoded at once.
        clock: seconds that only go forward.
        gather_s: how long replies wait for more of them.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        store: Store,
        queues: Queues,
        classifier: Classifier,
        stop: Stop,
        *,
        cpus: int,
        clock: Callable[[], float] = time.monotonic,
        gather_s: float = GATHER_S,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._clock = clock
        requests = queues.open(settings.requests_queue)
        tally = Tally()
        self.leases = Leases(
            requests,
            visibility_s=settings.visibility_s,
            most=settings.max_in_flight,
            clock=clock,
        )
        self.finishing = Finishing(
            store,
            queues,
            requests,
            self.leases,
            spoil=self._give_back,
            count=tally.count,
            storers=settings.io_threads,
            clock=clock,
            gather_s=gather_s,
        )
        self.pipeline = Pipeline(
            settings,
            store,
            self.leases,
            classifier,
            self.finishing,
            decode=partial(decode, recipe=classifier.recipe, max_pixels=settings.max_pixels),
            decoders=cpus,
            spoil=self._give_back,
            clock=clock,
        )
        self.consumer = Consumer(
            requests,
            self.leases,
            self.pipeline.fetching,
            wait_s=settings.receive_wait_s,
            visibility_s=settings.visibility_s,
            clock=clock,
        )
        self.reporter = Reporter(
            queues.open(settings.telemetry_queue),
            settings.worker,
            tally,
            held=self.leases.held,
            loads=lambda: [stage.load_s() for stage in self.pipeline.stages],
            draining=lambda: stop.asked,
            clock=clock,
        )
        self.heartbeat = Heartbeat(settings.heartbeat, self.pipeline.stages)

    def run(self) -> None:
        """Work until asked to stop or idle for too long, then drain."""
        enough, over = threading.Event(), threading.Event()
        receiver = loops.start("receiving", self.consumer.turn, enough)
        self._start_beside(over)
        while not self._stop.asked:
            time.sleep(TICK_S)
            self._stop_if_idle()
        log.info("draining", images=self.leases.held())
        enough.set()
        drain(
            self.leases,
            receiver.is_alive,
            self._stop,
            within_s=self._settings.drain_s,
            clock=self._clock,
            pause=time.sleep,
        )
        over.set()
        if not loops.within(FAREWELL_S, self.farewell):
            log.warning("AWS did not answer the farewell", after_s=FAREWELL_S)

    def farewell(self) -> None:
        """Give back what could not be finished, and tell the scaler."""
        if messages := self.leases.give_back_all():
            log.warning("gave back what was not finished", messages=messages)
        self.reporter.report(WorkerState.STOPPED)

    def _give_back(self, image: Image) -> None:
        self.leases.give_back([image.delivery])

    def _start_beside(self, over: threading.Event) -> None:
        for stage in self.pipeline.stages:
            for _ in range(stage.threads):
                loops.start(stage.name, partial(_turn, stage), over)
        loops.start("extending", self.leases.turn, over)
        loops.start("reporting", self.reporter.turn, over)
        loops.start("heartbeat", self.heartbeat.turn, over)

    def _stop_if_idle(self) -> None:
        longest_s, idle_s = self._settings.idle_exit_s, self.leases.idle_s()
        if longest_s and idle_s > longest_s:
            log.info("idle for long enough", idle_s=round(idle_s))
            self._stop.ask()


def _turn(stage: Stage[Any]) -> float:
    stage.turn(STAGE_WAIT_S)
    return 0.0
