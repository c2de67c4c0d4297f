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

from imagefleet_core.queues import Queue
from imagefleet_scaler.diary import Diary
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.lease import LOOK_S, Lease
from imagefleet_scaler.policy import Decision, Memory, Observation, Phase, PolicyConfig, decide
from imagefleet_scaler.providers.base import Instance, Provider
from imagefleet_scaler.purse import Purse
from imagefleet_scaler.telemetry import Announced, Ear, News, Telemetry

log = structlog.get_logger()

# At rest: the queue is asked this often, for images that nobody announced,
REST_TICK_S = 10.0
# and the provider this often, for workers that nobody here launched.
REST_LIST_S = 60.0

# Is told of each turn that went well, once it is over. It must neither wait nor raise.
Listener = Callable[[Observation, Decision], object]


class Loop:
    """Keeps the fleet as large as the policy wants it.

    Args:
        lease: lets one of several scalers act; without one this scaler always does.
        purse: knows what the day has cost before, where that matters.
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
        self._memory = Memory()
        self._woken = threading.Event()
        self._ear = Ear(telemetry, self.wake) if not dry_run else None
        self._rests = False
        self._listed_at = self._turned_at = float("-inf")
        self._diary = Diary()

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
            decision = decide(observation, self._config, now)
            self._memory = decision.memory
            self._act(observation, decision)
            self._rests = not (observation.workers or observation.backlog or decision.desired)
            self._beat()
            if self._purse:
                self._purse.keep(observation, decision)
            for tell in self._listeners:
                tell(observation, decision)
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
        counts = self._requests.counts()
        self._announced.hear(news.announcements, now, self._fleet.done)
        workers = self._fleet.update(instances, news.reports, now)
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
            news.add(self._telemetry.take(workers=workers))
        return news

    def _act(self, observation: Observation, decision: Decision) -> None:
        facts: dict[str, object] = {
            "why": decision.why,
            "backlog": observation.backlog,
            "workers": len(observation.workers),
        }
        if self._dry_run:
            self._diary.would(decision, facts)
            return
        self._diary.capped(decision.cap, decision.capped, decision.at)
        if not (decision.launch or decision.retire):
            log.debug("the fleet stays as it is", **facts)
            return
        if not self._may_act():
            return
        self._tell_last_words(observation)
        launched = self._provider.launch(decision.launch)
        self._fleet.launched(launched, decision.at)
        # Launching may take long: by now another scaler may retire others.
        retired = decision.retire if self._may_act() else ()
        self._provider.retire(retired)
        self._fleet.retired(retired)
        if launched or retired:
            log.info("the fleet changes", launched=len(launched), retired=len(retired), **facts)

    def _may_act(self) -> bool:
        if self._lease is None or self._lease.is_held:
            return True
        log.warning("this turn took longer than the lease; nothing more is done")
        return False

    def _tell_last_words(self, observation: Observation) -> None:
        """Log what is known of workers that never came to work, before they are gone."""
        silent = [each for each in observation.ids({Phase.LOST}) if not self._fleet.told(each)]
        if not silent:
            return
        words = self._provider.last_words(silent)
        for worker in silent:
            log.warning("a worker never came to work", worker=worker, said=words.get(worker, ""))

    def _beat(self) -> None:
        if self._heartbeat:
            self._heartbeat.touch()
