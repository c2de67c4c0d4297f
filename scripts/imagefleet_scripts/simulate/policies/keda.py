"""KEDA's aws-sqs-queue scaler over a horizontal pod autoscaler, with a node for each pod.

https://keda.sh/docs/latest/scalers/aws-sqs/ and
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

import math
from collections import deque

from imagefleet_scripts.simulate.policies.base import Action, Look

QUEUE_LENGTH = 5  # images a pod, its default
SYNC_S = 15.0  # the autoscaler's period
POLLING_S = 30.0  # of KEDA, from zero
COOLDOWN_S = 300.0  # to zero
STABILIZATION_S = 300.0  # of scale-in
GRACE_S = 30.0  # from SIGTERM to SIGKILL


class Keda:
    """`ceil((visible + in flight) / 5)`; victims are chosen without asking who is busy."""

    interval_s = SYNC_S
    wakes = False

    def __init__(self, max_workers: int) -> None:
        self._max = max_workers
        self._wanted: deque[tuple[float, int]] = deque()
        self._active_at = float("-inf")

    def step(self, look: Look) -> Action:
        """Decide what to do now."""
        fleet, waiting = look.fleet, look.counts.visible + look.counts.in_flight
        if waiting:
            self._active_at = look.now
        if not fleet:
            polled = look.now % POLLING_S < self.interval_s
            return Action(launch=1) if waiting and polled else Action()
        wanted = min(self._max, max(1, math.ceil(waiting / QUEUE_LENGTH)))
        self._wanted.append((look.now, wanted))
        while self._wanted[0][0] < look.now - STABILIZATION_S:
            self._wanted.popleft()
        if not waiting and look.now - self._active_at > COOLDOWN_S:
            return Action(kill=tuple(each.id for each in fleet), kill_grace_s=GRACE_S)
        # At most doubled, or four more, in a period.
        if wanted > len(fleet):
            return Action(launch=min(wanted - len(fleet), max(4, len(fleet))))
        keep = max(each for _, each in self._wanted)
        return Action(
            kill=tuple(each.id for each in fleet[: max(0, len(fleet) - keep)]), kill_grace_s=GRACE_S
        )
