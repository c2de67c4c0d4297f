"""The loop: observe, decide, act, and survive whatever goes wrong in between.

At rest, with nothing to do and nobody to do it, it looks seldom and listens: news of work wakes
it at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.queues import Queue
from imagefleet_scaler.acting import Acting, Outcome
from imagefleet_scaler.announced import Announced, Counted
from imagefleet_scaler.diary import Diary
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.last_words import LastWords
from imagefleet_scaler.lease import LOOK_S, Lease
from imagefleet_scaler.policy import Decision, Memory, Observation, PolicyConfig, decide
from imagefleet_scaler.providers.base import Instance, Provider
from imagefleet_scaler.purse import Purse
from imagefleet_scaler.telemetry import Ear, News, Telemetry

log = structlog.get_logger()

# At rest: the queue is asked this often, for images that nobody announced,
REST_TICK_S = 10.0
# and the provider this often, for workers that nobody here launched.
REST_LIST_S = 60.0

# Is told what each turn saw, and what was done of what it decided. It must neither wait nor raise.
Listener = Callable[[Observation, Decision], object]


class Loop:
    """Keeps the fleet as large as the policy wants it.

    Args:
        lease: lets one of several scalers act; without one this scaler always does.
        purse: knows what the day has cost before, where that matters.
        heartbeat: a file to touch at the end of every turn that went well, if any.
        dry_run: say what would be done, and change nothing: no worker, no message.
        listeners: who is told of each turn that saw the fleet.
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
        lease: Lease | None = None,
        purse: Purse | None = None,
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
        self._lease = lease
        self._purse = purse
        self._heartbeat = heartbeat
        self._dry_run = dry_run
        self._listeners = listeners
        self._on_end = on_end
        self._announced = Announced()
        self._counted = Counted()
        self._memory = Memory()
        self._woken = threading.Event()
        self._ear = Ear(telemetry, self.wake) if not dry_run else None
        self._rests = False
        self._listed_at = self._turned_at = float("-inf")
        self._diary = Diary()
        self._acting = Acting(provider, fleet, lease)
        self._last_words = None if dry_run else LastWords(provider, fleet)

    def run(self, stopping: threading.Event, tick_s: float) -> None:
        """Take turns until `stopping` is set, and `wake` called; the fleet is left as it is."""
        while not stopping.is_set():
            if woken := self._woken.is_set():  # one that comes just now ends the next pause
                self._woken.clear()
            if self._lease and not self._lease.hold():
                self._stand_by()
                self._beat()
                stopping.wait(LOOK_S)
                continue
            # At rest a pause may end only because the lease had to be renewed.
            if woken or not self._rests or self._rested_s() >= REST_TICK_S:
                self._turned_at = time.monotonic()
                self.turn(time.time())
            self._pause(stopping, tick_s)
        if self._ear:
            self._ear.close()
        if self._lease:
            self._lease.release()

    def wake(self) -> None:
        """End a pause now; for other threads."""
        self._woken.set()

    def _stand_by(self) -> None:
        """Leave all news to the scaler that acts, and believe nothing that was known before."""
        if self._ear:
            self._ear.pause()
        if self._purse:
            self._purse.forget()
        self._fleet.forget()
        self._rests = False

    def _rested_s(self) -> float:
        return time.monotonic() - self._turned_at

    def _pause(self, stopping: threading.Event, tick_s: float) -> None:
        if self._rests and self._ear:
            self._ear.listen()
            rest_s = max(0.0, REST_TICK_S - self._rested_s())
            self._woken.wait(min(rest_s, self._lease.renew_s) if self._lease else rest_s)
        else:
            stopping.wait(tick_s)

    def turn(self, now: float) -> Decision | None:
        """Look once and do what is to be done; return None if that failed.

        Args:
            now: Unix seconds.
        """
        began = time.monotonic()
        try:
            if self._purse:
                self._memory = self._purse.recall(self._memory)
            observation = self._observe(now)
            if self._last_words:
                self._last_words.tell(observation)
            decision = decide(observation, self._config, now)
            self._memory = decision.memory
            self._rests = not (observation.workers or observation.backlog or decision.desired)
            outcome = self._act(observation, decision)
            if self._purse:
                self._purse.keep(observation, decision)
            for tell in self._listeners:
                tell(observation, outcome.made)
            outcome.check()
            self._beat()
        except Exception as error:  # noqa: BLE001  # the next turn may well succeed
            self._diary.failed(error, now)
            if self._on_end:
                self._on_end(time.monotonic() - began, error)
            return None
        self._diary.recovered()
        if self._on_end:
            self._on_end(time.monotonic() - began, None)
        return decision

    def _observe(self, now: float) -> Observation:
        instances = self._instances()
        news = self._news(len(instances))
        self._announced.hear(news.announcements, now, self._fleet.done, self._counted)
        workers = self._fleet.update(instances, news.reports, now)
        counts = self._requests.counts()  # which may fail: what came must be taken in by then
        self._counted = Counted(counts.total, now)
        fleet, boots = self._fleet, self._fleet.boots
        return Observation(
            visible=counts.visible,
            in_flight=counts.in_flight,
            delayed=counts.delayed,
            workers=workers,
            announced=self._announced.images(now, fleet.done),
            done=fleet.done,
            sent_at=fleet.sent_at,
            oldest_s=fleet.oldest_s,
            service_s=fleet.service_s,
            measured=fleet.measured,
            boot_s=boots.usual_s,
            failed_boots=boots.failed,
            failed_at=boots.failed_at,
            memory=self._memory,
        )

    def _instances(self) -> Sequence[Instance]:
        """Return the fleet; at rest nobody is asked for what was empty a moment ago."""
        now = time.monotonic()
        if self._rests and now - self._listed_at < REST_LIST_S:
            return []
        if not self._dry_run:
            self._provider.sweep()
        instances = self._provider.list()
        self._listed_at = now
        return instances

    def _news(self, workers: int) -> News:
        if self._ear is None:
            return self._telemetry.peek()
        news = self._ear.heard()
        if workers or not self._rests:
            try:
                news.add(self._telemetry.take(workers=workers))
            except ImagefleetError:
                if not news:
                    raise
        return news

    def _act(self, observation: Observation, decision: Decision) -> Outcome:
        facts: dict[str, object] = {
            "why": decision.why,
            "backlog": observation.backlog,
            "workers": len(observation.workers),
        }
        if self._dry_run:
            self._diary.would(decision, facts)
            return Outcome(decision)
        self._diary.capped(decision.cap, decision.capped, decision.at)
        outcome = self._acting.carry_out(decision)
        launched, retired = outcome.made.launch, len(outcome.made.retire)
        if launched or retired:
            log.info("the fleet changes", launched=launched, retired=retired, **facts)
        elif not (decision.launch or decision.retire):
            log.debug("the fleet stays as it is", **facts)
        return outcome

    def _beat(self) -> None:
        if self._heartbeat:
            self._heartbeat.touch()
