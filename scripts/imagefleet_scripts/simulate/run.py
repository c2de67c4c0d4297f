"""One workload under one policy, from zero workers back to zero."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import simpy

from imagefleet_scaler.policy import PolicyConfig
from imagefleet_scripts.simulate.cloud import BILLED_LEAST_S, USD_PER_HOUR, Cloud, Conditions
from imagefleet_scripts.simulate.policies.base import Action, Look, Policy
from imagefleet_scripts.simulate.policies.buildkite import Buildkite
from imagefleet_scripts.simulate.policies.imagefleet import Imagefleet
from imagefleet_scripts.simulate.policies.keda import Keda
from imagefleet_scripts.simulate.policies.optimum import Optimum
from imagefleet_scripts.simulate.policies.original import Original
from imagefleet_scripts.simulate.policies.target_tracking import TargetTracking
from imagefleet_scripts.simulate.work import Work
from imagefleet_scripts.simulate.workloads import Workload

TARGET_S = 10.0
# From an upload to the scaler that waits for it: two calls to SQS.
WAKE_S = 0.2
ANNOUNCED_S = 5.0
# A policy that has not come back to zero by then never will.
PATIENCE_S = 14_400.0

Made: TypeAlias = Callable[[Workload, Cloud], Policy]

POLICIES: dict[str, Made] = {
    "imagefleet": lambda workload, cloud: Imagefleet(configuration(workload, cloud.conditions)),
    "original": lambda _, cloud: Original(cloud.conditions.max_workers),
    "keda": lambda _, cloud: Keda(cloud.conditions.max_workers),
    "target-tracking": lambda workload, cloud: TargetTracking(
        cloud.conditions.max_workers, TARGET_S, workload.mean_s
    ),
    "buildkite": lambda _, cloud: Buildkite(cloud.conditions.max_workers),
    "optimum": lambda workload, cloud: Optimum(workload, cloud, TARGET_S),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: times in seconds from the first image on, money in US dollars.

    Attributes:
        most: the largest fleet.
        launched: instances that were launched, failed ones too.
        busy_kills: images that were lost with the worker that held them, and done again.
    """

    last_result_s: float
    p50_wait_s: float
    p99_wait_s: float
    instance_s: float
    cost_usd: float
    most: int
    launched: int
    busy_kills: int


def configuration(workload: Workload, conditions: Conditions) -> PolicyConfig:
    """Return what an operator on AWS would set."""
    return PolicyConfig(
        max_workers=conditions.max_workers,
        target_s=TARGET_S,
        service_s=workload.mean_s,
        boot_s=conditions.boot_s,
        counts_lag_s=60,
        billed_s=BILLED_LEAST_S,
        scale_in_after_s=10,
    )


def run(policy: str, workload: Workload, conditions: Conditions, seed: int) -> Outcome:
    """Simulate until all images are done and all instances gone."""
    cloud = _simulated(policy, workload, conditions, seed)
    waits, instance_s = cloud.work.waits(), cloud.instance_s(cloud.env.now)
    return Outcome(
        last_result_s=cloud.work.last_result(),
        p50_wait_s=float(np.percentile(waits, 50)),
        p99_wait_s=float(np.percentile(waits, 99)),
        instance_s=instance_s,
        cost_usd=instance_s * USD_PER_HOUR / 3600,
        most=cloud.most,
        launched=cloud.launched,
        busy_kills=cloud.work.busy_kills,
    )


def trace(
    policy: str, workload: Workload, conditions: Conditions, seed: int
) -> tuple[list[float], list[int]]:
    """Simulate the same; return when the fleet changed, and how many instances it had then."""
    sizes = _simulated(policy, workload, conditions, seed).sizes
    return [at for at, _ in sizes], [size for _, size in sizes]


def _simulated(policy: str, workload: Workload, conditions: Conditions, seed: int) -> Cloud:
    env = simpy.Environment()
    cloud = Cloud(env, Work(workload.arrivals, workload.services), conditions, seed)
    made = POLICIES[policy](workload, cloud)
    env.run(until=env.process(_scale(env, cloud, made, workload, seed)))
    return cloud


def _scale(
    env: simpy.Environment, cloud: Cloud, policy: Policy, workload: Workload, seed: int
) -> Generator[Any, Any, None]:
    """Look and act until there is nothing left to do."""
    work, patience = cloud.work, float(workload.arrivals[-1]) + PATIENCE_S
    grown = np.cumsum(workload.services)
    # Work does not wait for a turn of the scaler's clock.
    first = 0.0 if policy.wakes else float(np.random.default_rng(seed).random()) * policy.interval_s
    yield env.timeout(WAKE_S if policy.wakes else first)
    while True:
        cloud.look()
        now, true = env.now, work.counts(env.now)
        if true.done == work.images and not cloud.instances:
            return
        if now > patience and true.done == work.images:
            return
        instances = list(cloud.instances.values())
        look = Look(
            now=now,
            counts=cloud.counts(),
            instances=instances,
            busy=work.busy(now),
            announced=work.arrived(now) - work.arrived(now - ANNOUNCED_S),
            done=true.done,
            sent_at=work.newest_begun(),
            service_s=float(grown[true.done - 1]) / true.done if true.done else None,
        )
        _act(cloud, policy.step(look))
        yield env.timeout(_pause(cloud, policy, now))


def _act(cloud: Cloud, action: Action) -> None:
    cloud.drain(action.drain)
    cloud.kill(action.kill, action.kill_grace_s)
    cloud.launch(action.launch)


def _pause(cloud: Cloud, policy: Policy, now: float) -> float:
    """Return how long until the next look; an upload wakes those who listen on an idle system."""
    if not policy.wakes or cloud.instances or cloud.work.counts(now).visible:
        return policy.interval_s
    following = cloud.work.next_arrival()
    return policy.interval_s if following is None else max(WAKE_S, following + WAKE_S - now)
