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
# What it takes to have a worker again: the part of its boot that is billed.
AGAIN_S = 30.0


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
        launch = max(0, self._wanted(look.now + self._boot_s, STEP_S) - len(fleet))
        self._cloud.skip_failing(launch)
        if look.counts.visible:
            return Action(launch)
        keep = self._wanted(look.now, AGAIN_S)
        idle = [
            each.id
            for each in fleet
            if each.state is State.READY and each.id not in look.busy and self._is_over(each, look)
        ]
        return Action(launch, drain=tuple(idle[: max(0, len(fleet) - keep)]))

    def _is_over(self, instance: Instance, look: Look) -> bool:
        """Return whether the next second would be billed."""
        return look.now - instance.launched_at - PENDING_S >= BILLED_LEAST_S - STEP_S

    def _wanted(self, at: float, within_s: float) -> int:
        """Return the most workers that the plan has from `at` on for a while."""
        begin = int(at / STEP_S)
        some = self._plan[begin : begin + max(1, int(within_s / STEP_S))]
        return int(some.max()) if len(some) else 0


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
