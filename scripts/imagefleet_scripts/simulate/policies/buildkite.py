"""Buildkite's agent scaler with its elastic stack: one agent a job, agents end when idle.

https://github.com/buildkite/buildkite-agent-scaler (scaler/scaling_calculator.go) and
https://github.com/buildkite/elastic-ci-stack-for-aws (ScaleInIdlePeriod)
"""

from __future__ import annotations

from imagefleet_scripts.simulate.cloud import State
from imagefleet_scripts.simulate.policies.base import Action, Look

INTERVAL_S = 10.0
IDLE_S = 600.0


class Buildkite:
    """As many agents as jobs that wait or run."""

    interval_s = INTERVAL_S
    wakes = False

    def __init__(self, max_workers: int) -> None:
        self._max = max_workers
        self._busy_at: dict[int, float] = {}

    def step(self, look: Look) -> Action:
        """Decide what to do now."""
        wanted = min(self._max, look.counts.visible + look.counts.in_flight)
        for each in look.fleet:
            if each.id in look.busy or each.state is not State.READY:
                self._busy_at[each.id] = look.now
        idle = [each.id for each in look.fleet if look.now - self._busy_at[each.id] >= IDLE_S]
        return Action(launch=max(0, wanted - len(look.fleet)), drain=tuple(idle))
