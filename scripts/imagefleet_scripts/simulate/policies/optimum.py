"""A clairvoyant: knows each image, each service time and each boot before it comes.

It makes the same promise as Imagefleet's policy, each result within a boot and the target, or as
early as the largest fleet can, and keeps it with the least work at any moment. It launches nobody
before the first image is there: the system starts at zero.
"""

from __future__ import annotations

import numpy as np

from imagefleet_scripts.simulate.cloud import (
    BILLED_LEAST_S,
    PENDING_S,
    Cloud,
    Instance,
    State,
)
from imagefleet_scripts.simulate.policies.base import Action, Look
from imagefleet_scripts.simulate.work import Seconds
from imagefleet_scripts.simulate.workloads import Workload

STEP_S = 1.0


class Optimum:
    """Follows a plan that was made with all of the future in view."""

    interval_s = STEP_S
    wakes = True

    def __init__(self, workload: Workload, cloud: Cloud, target_s: float) -> None:
        self._boot_s = cloud.conditions.boot_s
        self._cloud = cloud
        self._plan = plan(workload, self._boot_s, target_s, cloud.conditions.max_workers)

    def step(self, look: Look) -> Action:
        """Do what the plan says for the moment at which a worker launched now would be ready."""
        fleet = look.fleet
        # The plan knows of no instance that is taken away, so there may be work left behind it.
        least = 1 if self._cloud.work.counts(look.now).visible else 0
        launch = max(0, max(least, self._wanted(look.now + self._boot_s)) - len(fleet))
        self._cloud.skip_failing(launch)
        if look.counts.visible:
            return Action(launch)
        idle = [
            each.id
            for each in fleet
            if each.state is State.READY and each.id not in look.busy and self._is_over(each, look)
        ]
        spare = 0
        while spare < len(idle) and not self._pays_to_keep(look.now, len(fleet) - spare):
            spare += 1
        return Action(launch, drain=tuple(idle[:spare]))

    def _pays_to_keep(self, now: float, workers: int) -> bool:
        """Return whether so many are wanted again before it would cost less to launch one anew.

        That costs the part of a boot that is billed, and what is billed at least.
        """
        anew_s = max(BILLED_LEAST_S, self._boot_s - PENDING_S)
        coming = self._plan[int(now / STEP_S) :][: int(2 * anew_s / STEP_S)] >= workers
        if not coming.any():
            return False
        begin = int(coming.argmax())
        enough = coming[begin:]
        stint_s = (len(enough) if enough.all() else int(enough.argmin())) * STEP_S
        return begin * STEP_S < max(BILLED_LEAST_S - stint_s, self._boot_s - PENDING_S)

    def _is_over(self, instance: Instance, look: Look) -> bool:
        """Return whether the next second would be billed."""
        return look.now - instance.launched_at - PENDING_S >= BILLED_LEAST_S - STEP_S

    def _wanted(self, at: float) -> int:
        """Return how many workers the plan has at a moment."""
        step = int(at / STEP_S)
        return int(self._plan[step]) if step < len(self._plan) else 0


def plan(workload: Workload, boot_s: float, target_s: float, most: int) -> Seconds:
    """Return how many workers should be at work in each second.

    The work done by any moment lies between what has arrived and what must be finished. At each
    moment it goes on at the lowest rate that meets all later deadlines, which is the tightest of
    the slopes to them (Yao, Demers and Shenker 1995, on the least energy for jobs with deadlines).
    """
    total = float(workload.services.sum())
    end = float(workload.arrivals[-1]) + boot_s + target_s + total / most
    at = np.arange(0, end + 2 * STEP_S, STEP_S)
    grown = np.concatenate([[0.0], np.cumsum(workload.services)])
    arrived = grown[np.searchsorted(workload.arrivals, at, side="right")]
    can_be_done = np.where(at >= boot_s, arrived, 0.0)
    # The most that the largest fleet has done by then.
    possible = _fastest(can_be_done, most * STEP_S)
    late = int(np.ceil((boot_s + target_s) / STEP_S))
    due = np.concatenate([np.zeros(late), arrived])[: len(at)]
    due = np.minimum(due, possible)
    due[-1] = total
    workers, done = np.zeros(len(at)), 0.0
    steps = np.arange(1, len(at) + 1) * STEP_S
    for now in range(int(boot_s / STEP_S), len(at) - 1):
        if total - done < 1e-9:
            break
        # What is due later has not come yet.
        soon = due[now + 1 : now + 1 + late]
        rate = float(((soon - done) / steps[: len(soon)]).max())
        least = min(most, np.ceil(round(max(0.0, rate), 6)))
        # As many as before do no harm while there is enough for all of them.
        enough = can_be_done[now + 1] - done >= workers[now - 1] * STEP_S
        workers[now] = max(least, workers[now - 1]) if enough else least
        done = min(can_be_done[now + 1], done + workers[now] * STEP_S)
    return workers


def _fastest(available: Seconds, each_step: float) -> Seconds:
    """Return the most work that is done by each step at so much a step."""
    done = np.empty(len(available))
    sofar = 0.0
    for step, there in enumerate(available):
        done[step] = sofar
        sofar = min(there, sofar + each_step)
    return done
