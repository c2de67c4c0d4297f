"""Imagefleet's own: the very function that the scaler runs."""

from __future__ import annotations

from imagefleet_scaler.boots import Boots
from imagefleet_scaler.policy import Memory, Observation, Phase, PolicyConfig, Worker, decide
from imagefleet_scripts.simulate.cloud import Instance, State
from imagefleet_scripts.simulate.policies.base import Action, Look

# The scaler's own setting: until enough boots have been seen, one is given up after so long.
DEADLINE_S = 120.0


class Imagefleet:
    """Hands what is seen to `decide`, and what it remembers back to it."""

    interval_s = 2.0
    wakes = True

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._memory = Memory()
        self._boots = Boots(DEADLINE_S, config.boot_s)
        self._judged: set[int] = set()

    def step(self, look: Look) -> Action:
        """Decide what to do now."""
        self._learn(look)
        deadline_s = self._boots.deadline_s
        observation = Observation(
            visible=look.counts.visible,
            in_flight=look.counts.in_flight,
            workers=tuple(
                Worker(str(each.id), self._phase(each, look, deadline_s), each.launched_at)
                for each in look.instances
            ),
            announced=look.announced,
            done=look.done,
            sent_at=look.sent_at,
            oldest_s=look.oldest_s,
            service_s=look.service_s,
            measured=look.done,
            boot_s=self._boots.usual_s,
            failed_boots=self._boots.failed,
            failed_at=self._boots.failed_at,
            memory=self._memory,
        )
        decision = decide(observation, self._config, look.now)
        self._memory = decision.memory
        return Action(decision.launch, drain=tuple(int(each) for each in decision.retire))

    def _learn(self, look: Look) -> None:
        for each in look.instances:
            if each.id not in self._judged and each.state is not State.BOOTING:
                self._judged.add(each.id)
                self._boots.came(each.launched_at, each.ready_at - each.launched_at)

    def _phase(self, instance: Instance, look: Look, deadline_s: float) -> Phase:
        match instance.state:
            case State.READY:
                return Phase.BUSY if instance.id in look.busy else Phase.IDLE
            case State.BOOTING if look.now - instance.launched_at > deadline_s:
                if instance.id not in self._judged:
                    self._judged.add(instance.id)
                    self._boots.came_to_nothing(instance.launched_at, look.now)
                return Phase.LOST
            case State.BOOTING:
                return Phase.BOOTING
        return Phase.DRAINING
