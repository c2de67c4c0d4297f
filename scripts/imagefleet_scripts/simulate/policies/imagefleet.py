"""Imagefleet's own: the very function that the scaler runs."""

from __future__ import annotations

import statistics

from imagefleet_scaler.policy import Memory, Observation, Phase, PolicyConfig, Worker, decide
from imagefleet_scripts.simulate.cloud import Instance, State
from imagefleet_scripts.simulate.policies.base import Action, Look

# As fleet.py: a boot that takes so many times longer than usual is given up.
LOST_AFTER_BOOTS = 2.5


class Imagefleet:
    """Hands what is seen to `decide`, and what it remembers back to it."""

    interval_s = 2.0
    wakes = True

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._memory = Memory()
        self._boots: dict[int, float] = {}

    def step(self, look: Look) -> Action:
        """Decide what to do now."""
        for each in look.instances:
            if each.state is State.READY:
                self._boots.setdefault(each.id, each.ready_at - each.launched_at)
        observation = Observation(
            visible=look.counts.visible,
            in_flight=look.counts.in_flight,
            workers=tuple(
                Worker(str(each.id), self._phase(each, look), each.launched_at)
                for each in look.instances
            ),
            announced=look.announced,
            done=look.done,
            sent_at=look.sent_at,
            service_s=look.service_s,
            boot_s=self._boot_s if self._boots else None,
            memory=self._memory,
        )
        decision = decide(observation, self._config, look.now)
        self._memory = decision.memory
        return Action(decision.launch, drain=tuple(int(each) for each in decision.retire))

    @property
    def _boot_s(self) -> float:
        return statistics.median(self._boots.values()) if self._boots else self._config.boot_s

    def _phase(self, instance: Instance, look: Look) -> Phase:
        match instance.state:
            case State.READY:
                return Phase.BUSY if instance.id in look.busy else Phase.IDLE
            case State.BOOTING:
                late = look.now - instance.launched_at > LOST_AFTER_BOOTS * self._boot_s
                return Phase.LOST if late else Phase.BOOTING
        return Phase.DRAINING
