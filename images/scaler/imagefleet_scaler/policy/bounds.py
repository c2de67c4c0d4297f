"""What the operator allows: a number of workers, a pace, and money."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from imagefleet_scaler.policy.config import PolicyConfig
from imagefleet_scaler.policy.memory import Memory
from imagefleet_scaler.policy.observation import Observation, Phase

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
HOPELESS_BOOTS = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15, 900
# A worker costs from its launch until it is gone.
_FREE = frozenset({Phase.LOST})


@dataclass(frozen=True, slots=True)
class Limit:
    """The tightest bound.

    Attributes:
        workers: the most there may be.
        reason: what to say where it binds.
        cap: what kind of bound it is, for alarms: workers, money.
        exhausted: whether the day's money is spent, so that even busy ones have to drain.
    """

    workers: int
    reason: str
    cap: str = "workers"
    exhausted: bool = False


def limit(memory: Memory, config: PolicyConfig) -> Limit:
    """Return the bound on the number of workers; ties go to the first named."""
    bounds = [Limit(config.max_workers, f"at most {config.max_workers} are allowed")]
    price = config.worker_usd_per_hour
    if price and config.max_usd_per_hour:
        affordable = math.floor(round(config.max_usd_per_hour / price, 6))
        reason = f"${config.max_usd_per_hour:g} an hour pay for {affordable}"
        bounds.append(Limit(affordable, reason, "money"))
    if price and config.max_usd_per_day:
        left = config.max_usd_per_day - memory.spent_usd
        # Each costs what is billed at least, or the time a turn or two take.
        least = price * max(config.billed_s, MINUTE_S) / HOUR_S
        affordable = max(0, math.floor(round(left / least, 6)))
        reason = (
            f"${memory.spent_usd:.2f} of the day's ${config.max_usd_per_day:g} are spent, "
            f"which leaves enough for {affordable}"
        )
        bounds.append(Limit(affordable, reason, "money", exhausted=left <= 0))
    return min(bounds, key=lambda bound: bound.workers)


@dataclass(frozen=True, slots=True)
class Pace:
    """How many may be launched now, None for any number, and what to say where it binds."""

    launches: int | None
    reason: str = ""


def pace(observation: Observation, config: PolicyConfig, now: float) -> Pace:
    """Return how many may be launched now.

    Boots that come to nothing one after the other have a cause that more of them won't cure: from
    the third on one is tried at a time, after ever longer pauses.
    """
    if observation.failed_boots >= HOPELESS_BOOTS:
        pause_s = min(
            LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (observation.failed_boots - HOPELESS_BOOTS)
        )
        left_s = math.ceil(observation.failed_at + pause_s - now)
        booting = observation.count({Phase.BOOTING})
        when = f"the next is tried in {left_s} s" if left_s > 0 else "one is tried at a time"
        reason = f"the last {observation.failed_boots} launches came to nothing: {when}"
        return Pace(0 if left_s > 0 or booting else 1, reason)
    if not config.launches_a_minute:
        return Pace(None)
    lately = sum(now - at < MINUTE_S for at in observation.memory.launches)
    reason = f"at most {config.launches_a_minute} may be launched in a minute"
    return Pace(max(0, config.launches_a_minute - lately), reason)


def spent(memory: Memory, observation: Observation, config: PolicyConfig, now: float) -> Memory:
    """Add what the workers cost since the last turn; a new day begins at nothing.

    By the second, from the launch: that is a little more than EC2 bills, as it does not bill
    `pending`, but its least time for each. A scaler that begins, or was away, counts those who are
    there now from where the memory ends, which is where the last scaler noted it, or from their
    launches.
    """
    day = int(now // DAY_S)
    since = max(memory.at, day * DAY_S)
    cost_s = sum(
        max(0.0, now - max(since, worker.launched_at))
        for worker in observation.workers
        if worker.phase not in _FREE
    )
    before = memory.spent_usd if memory.spent_day == day else 0.0
    cost = cost_s * config.worker_usd_per_hour / HOUR_S
    return replace(memory, spent_day=day, spent_usd=before + cost)
