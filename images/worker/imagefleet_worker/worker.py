"""The worker: its parts put together, from the first message to the last farewell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.jobs import Result
from imagefleet_core.queues import Queues
from imagefleet_core.store import Store
from imagefleet_core.telemetry import WorkerState
from imagefleet_worker import loops
from imagefleet_worker.consumer import Consumer
from imagefleet_worker.drain import TICK_S, Stop, drain
from imagefleet_worker.ec2.instance_metadata import Notices
from imagefleet_worker.finishing import GATHER_S, Finishing
from imagefleet_worker.health.heartbeat import Heartbeat
from imagefleet_worker.health.pressure import Pressure
from imagefleet_worker.health.pulse import Pulses
from imagefleet_worker.health.streak import Streak
from imagefleet_worker.leases import Leases
from imagefleet_worker.pipeline import Pipeline, Tools
from imagefleet_worker.prefetch import prefetch
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.stage import Stage
from imagefleet_worker.telemetry import Reporter, Tally
from imagefleet_worker.work import Image

# How long an idle stage waits for work before it looks whether it's still needed.
STAGE_WAIT_S = 1.0
# How often the worker asks itself whether it is still of use.
LOOK_S = 1.0
# What giving back and the last report may take, as AWS may not answer.
FAREWELL_S = 4.0

# Memory or disk that run short for so long though nothing is held won't come back by themselves.
PRESSED_S = 300.0

log = structlog.get_logger()


class Stuck(ImagefleetError):
    """The worker is beyond help; another process in its place may do better."""


class Worker:
    """One worker process, all but its entry point.

    Every part takes turns, so tests can run it without a thread.

    Args:
        tools: what works on the images, and the memory it may take.
        image_s: seconds an image will take, as far as is known before the first; 0 if nothing is.
        clock: seconds that only go forward.
        gather_s: how long replies wait for more of them.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        store: Store,
        queues: Queues,
        tools: Tools,
        stop: Stop,
        *,
        image_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        gather_s: float = GATHER_S,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._image_s = image_s
        self.tally = Tally()
        self._streak = Streak()
        self._pulses = Pulses(clock)
        self.pressure = Pressure(settings.heartbeat.parent, clock=clock)
        requests = queues.open(settings.requests_queue)
        self.leases = Leases(
            requests, visibility_s=settings.visibility_s, most=self.most_held, clock=clock
        )
        self.finishing = Finishing(
            store,
            queues,
            requests,
            self.leases,
            spoil=self._give_back,
            count=self._count,
            storers=settings.io_threads,
            clock=clock,
            gather_s=gather_s,
        )
        self.pipeline = Pipeline(
            settings,
            store,
            self.leases,
            tools,
            self.finishing,
            give_back=self._give_back,
            clock=clock,
        )
        self.consumer = Consumer(
            requests,
            self.leases,
            self.pipeline.fetching,
            pressed=self.pressure.reason,
            wait_s=settings.receive_wait_s,
            visibility_s=settings.visibility_s,
            clock=clock,
        )
        self.reporter = Reporter(
            queues.open(settings.telemetry_queue),
            settings.worker,
            self.tally,
            held=self.leases.held,
            oldest=self.leases.oldest,
            newest=self.leases.newest,
            loads=lambda: [stage.load_s() for stage in self.pipeline.stages],
            draining=lambda: stop.asked,
            clock=clock,
        )
        self.heartbeat = Heartbeat(
            settings.heartbeat,
            self.pipeline.stages,
            checks=(self._pulses.problem, self._streak.problem),
            clock=clock,
        )

    def run(self) -> None:
        """Work until asked to stop or idle for too long, then drain.

        Raises:
            Stuck: nothing comes of the work any more; what was held is given back.
        """
        enough, over = threading.Event(), threading.Event()
        receiver = loops.start("receiving", self.consumer.turn, enough, self._pulses)
        self._start_beside(over)
        try:
            self._until_asked()
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
        finally:
            enough.set()
            over.set()
            if not loops.within(FAREWELL_S, self.farewell):
                log.warning("AWS did not answer the farewell", after_s=FAREWELL_S)

    @property
    def draining(self) -> bool:
        """Whether it is about to stop."""
        return self._stop.asked

    def most_held(self) -> int:
        """Return how many images may be held at once."""
        image_s = self.reporter.service_s() or self._image_s
        return prefetch(image_s, self._settings.max_in_flight)

    def farewell(self) -> None:
        """Give back what could not be finished, and tell the scaler."""
        if messages := self.leases.give_back_all():
            log.warning("gave back what was not finished", messages=messages)
        self.reporter.report(WorkerState.STOPPED)

    def stop_if_idle(self) -> None:
        """Ask for the end if there has been no work for as long as is allowed."""
        longest_s, idle_s = self._settings.idle_exit_s, self.leases.idle_s()
        if longest_s and idle_s > longest_s:
            log.info("idle for long enough", idle_s=round(idle_s))
            self._stop.ask()

    def beyond_help(self) -> str:
        """Return why there is no use in going on, or an empty string."""
        if self.pressure.lasts_s() > PRESSED_S and not self.leases.held():
            return self.pressure.reason()
        return self._streak.problem() or self.heartbeat.hopeless()

    def _until_asked(self) -> None:
        look_at = self._clock()
        while not self._stop.asked:
            time.sleep(TICK_S)
            if self._clock() < look_at:
                continue
            look_at = self._clock() + LOOK_S
            self.stop_if_idle()
            if reason := self.beyond_help():
                raise Stuck(f"giving up: {reason}")

    def _start_beside(self, over: threading.Event) -> None:
        for stage in self.pipeline.stages:
            for _ in range(stage.threads):
                loops.start(stage.name, partial(_turn, stage), over)
        beside = {
            "extending": self.leases.turn,
            "reporting": self.reporter.turn,
            "heartbeat": self.heartbeat.turn,
        }
        if url := self._settings.instance_metadata:
            notices = Notices(url, lambda _reason: self._stop.ask(), clock=self._clock)
            beside["looking for notices"] = notices.turn
        for name, turn in beside.items():
            loops.start(name, turn, over, self._pulses)

    def _count(self, result: Result) -> None:
        self.tally.count(result)
        self._streak.stored(result)

    def _give_back(self, image: Image) -> None:
        self._streak.spoilt(image.request.job)
        self.leases.give_back([image.delivery])


def _turn(stage: Stage[Any]) -> float:
    stage.turn(STAGE_WAIT_S)
    return 0.0
