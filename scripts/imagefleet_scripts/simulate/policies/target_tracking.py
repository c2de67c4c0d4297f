"""AWS's own advice: target tracking on the backlog of each instance, through CloudWatch's alarms.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html
"""

from __future__ import annotations

import math
from collections import deque

from imagefleet_scripts.simulate.policies.base import Action, Look

PERIOD_S = 60.0  # of the metric
ABOVE, BELOW = 3, 15  # periods until the alarms that target tracking makes go off
FROM_ZERO = 1  # periods until the alarm that starts the first instance goes off
SLACK = 0.9  # scale-in begins below this share of the target
WARM_UP_S = 60.0


class TargetTracking:
    """Holds `backlog / instances` at what an instance does within the acceptable latency."""

    interval_s = PERIOD_S
    wakes = False

    def __init__(self, max_workers: int, latency_s: float, service_s: float) -> None:
        self._max = max_workers
        self._target = max(1.0, latency_s / service_s)
        self._backlogs: deque[float] = deque(maxlen=BELOW)

    def step(self, look: Look) -> Action:
        """Decide what to do now."""
        fleet, waiting = look.fleet, look.counts.visible
        if not fleet:
            self._backlogs.clear()
            return Action(launch=1) if waiting else Action()
        each = waiting / len(fleet)
        self._backlogs.append(each)
        lately = list(self._backlogs)[-ABOVE:]
        wanted = min(self._max, max(1, math.ceil(waiting / self._target)))
        if len(lately) == ABOVE and min(lately) > self._target and wanted > len(fleet):
            return Action(launch=wanted - len(fleet))
        quiet = len(self._backlogs) == BELOW and max(self._backlogs) < SLACK * self._target
        if quiet:
            keep = 0 if max(self._backlogs) == 0 else wanted
            return Action(kill=tuple(each.id for each in fleet[: max(0, len(fleet) - keep)]))
        return Action()
