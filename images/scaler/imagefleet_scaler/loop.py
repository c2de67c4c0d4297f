"""The loop: observe, decide, act, and survive whatever goes wrong in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.queues import Queue
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.history import NeedHistory
from imagefleet_scaler.policy import Decision, Observation, PolicyConfig, decide
from imagefleet_scaler.providers.base import Provider
from imagefleet_scaler.telemetry import Telemetry

log = structlog.get_logger()

# Is told of each turn that went well, once it is over. It must neither wait nor raise.
Listener = Callable[[Observation, Decision], object]


class Loop:
    """Keeps the fleet as large as the policy wants it.

    Args:
        heartbeat: a file to touch at the end of every turn that went well, if any.
        dry_run: say what would be done, and change nothing: no worker, no message.
        listeners: who is told of each turn that went well.
        on_end: told of each turn how many seconds it took, and what it failed with.
    """

    def __init__(
        self,
        *,
        requests: Queue,
        telemetry: Telemetry,
        provider: Provider,
        fleet: Fleet,
        config: PolicyConfig,
        heartbeat: Path | None = None,
        dry_run: bool = False,
        listeners: Sequence[Listener] = (),
        on_end: Callable[[float, Exception | None], object] | None = None,
    ) -> None:
        self._requests = requests
        self._telemetry = telemetry
        self._provider = provider
        self._fleet = fleet
        self._config = config
        self._heartbeat = heartbeat
        self._dry_run = dry_run
        self._listeners = listeners
        self._on_end = on_end
        self._history = NeedHistory()
        self._trouble: str | None = None
        self._said: tuple[int, tuple[str, ...]] | None = None

    def run(self, stopping: threading.Event, tick_s: float) -> None:
        """Take turns until `stopping` is set; the fleet is left as it is."""
        while not stopping.is_set():
            self.turn(time.time())
            stopping.wait(tick_s)

    def turn(self, now: float) -> Decision | None:
        """Look once and do what is to be done; return None if that failed.

        Args:
            now: Unix seconds.
        """
        began = time.monotonic()
        try:
            observation = self._observe(now)
            decision = decide(observation, self._config)
            self._history = decision.history
            self._act(observation, decision)
            if self._heartbeat:
                self._heartbeat.touch()
            for tell in self._listeners:
                tell(observation, decision)
        except Exception as error:  # noqa: BLE001  # the next turn may well succeed
            self._failed(error)
            if self._on_end:
                self._on_end(time.monotonic() - began, error)
            return None
        self._recovered()
        if self._on_end:
            self._on_end(time.monotonic() - began, None)
        return decision

    def _observe(self, now: float) -> Observation:
        if not self._dry_run:
            self._provider.sweep()
        counts = self._requests.counts()
        instances = self._provider.list()
        reports = []
        if instances:  # without workers there is no report worth a call
            reports = self._telemetry.peek() if self._dry_run else self._telemetry.take()
        return Observation(
            now=now,
            visible=counts.visible,
            in_flight=counts.in_flight,
            delayed=counts.delayed,
            workers=self._fleet.update(instances, reports, now),
            service_s=self._fleet.service_s,
            history=self._history,
        )

    def _act(self, observation: Observation, decision: Decision) -> None:
        facts: dict[str, object] = {
            "why": decision.why,
            "backlog": observation.backlog,
            "workers": len(observation.workers),
        }
        if self._dry_run:
            self._say_once(decision, facts)
        elif decision.launch or decision.retire:
            launched = self._provider.launch(decision.launch)
            self._provider.retire(decision.retire)
            log.info(
                "the fleet changes", launched=len(launched), retired=len(decision.retire), **facts
            )
        else:
            log.debug("the fleet stays as it is", **facts)

    def _say_once(self, decision: Decision, facts: dict[str, object]) -> None:
        """Say what would be done, unless that is what was said last."""
        would = (decision.launch, decision.retire)
        if would != self._said:
            log.info(
                "the fleet would change" if any(would) else "the fleet would stay as it is",
                launch=decision.launch,
                retire=list(decision.retire),
                **facts,
            )
        self._said = would

    def _failed(self, error: Exception) -> None:
        """Log a trouble in full when it begins or changes, and not at every turn it lasts."""
        trouble = str(error) or repr(error)
        if trouble == self._trouble:
            log.debug("this turn failed too", reason=trouble)
        elif isinstance(error, ImagefleetError):
            log.error("this turn failed; trying on", reason=trouble)
        else:
            log.error("this turn failed; trying on", reason=trouble, exc_info=error)
        self._trouble = trouble

    def _recovered(self) -> None:
        if self._trouble is not None:
            log.info("all is well again", after=self._trouble)
        self._trouble = None
