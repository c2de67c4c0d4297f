"""The decision."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imagefleet_scaler.policy import bounds, victims, words
from imagefleet_scaler.policy.config import PolicyConfig
from imagefleet_scaler.policy.memory import Memory
from imagefleet_scaler.policy.need import hold_s, needed
from imagefleet_scaler.policy.observation import SUPPLY, Observation, Phase
from imagefleet_scaler.policy.peaks import LONGEST_GAP_S


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Attributes:
        desired: workers to have once this is done, draining and lost ones not counted.
        launch: how many to start.
        retire: who is to drain and go.
        why: a sentence for the person who reads the log.
        memory: to hand to the next observation.
        capped: what keeps the fleet smaller than it should be, if anything.
        cap: of what kind that is: workers, money, launches; for alarms.
    """

    desired: int
    launch: int
    retire: tuple[str, ...]
    why: str
    memory: Memory
    capped: str = ""
    cap: str = ""

    @property
    def at(self) -> float:
        """When it was made, in Unix seconds."""
        return self.memory.at


def decide(observation: Observation, config: PolicyConfig, now: float) -> Decision:
    """Decide how the fleet should change at `now`, in Unix seconds.

    All that is missing is launched at once. Idle workers are retired down to the most that was
    needed lately, the last one only when nothing waits for sure. Lost ones go at once; old ones
    when their replacements are at work; busy ones only when the day's money is spent.
    """
    observation = replace(observation, memory=_looked(observation, config, now))
    wanted = max(config.min_workers, needed(observation, config, now))
    limit = bounds.limit(observation.memory, config)
    need = min(wanted, limit.workers)
    hold = hold_s(observation, config)
    memory = replace(
        observation.memory,
        peaks=observation.memory.peaks.extended(now, need, hold),
    )
    observation = replace(observation, memory=memory)
    lost = observation.ids({Phase.LOST})
    old = victims.expired(observation, config, now)
    supply = observation.count(SUPPLY)
    young = supply - len(old)

    if limit.exhausted:
        leaving = observation.ids(SUPPLY)
        why = words.spent(limit, leaving)
        return Decision(0, 0, leaving + lost, why, memory, limit.reason, limit.cap)
    room = limit.workers > len(observation.workers)
    if supply < need or (young < need and room):
        return _grown(observation, config, now, wanted, limit, young)
    gone = victims.replaced(observation, old, need, limit.workers)
    keep = max(need, memory.peaks.peak) if memory.peaks.covers(hold) else supply
    idle = tuple(
        each
        for each in victims.spare(observation, config, now, keep + len(gone))
        if each not in gone
    )
    capped = limit.reason if wanted > need else ""
    why = words.fewer(observation, config, need, idle, gone, capped)
    left = supply - len(idle) - len(gone)
    cap = limit.cap if capped else ""
    return Decision(left, 0, idle + gone + lost, why, memory, capped, cap)


def _grown(
    observation: Observation,
    config: PolicyConfig,
    now: float,
    wanted: int,
    limit: bounds.Limit,
    young: int,
) -> Decision:
    """Launch what is missing beside those that need no replacement, as far as there is room."""
    memory = observation.memory
    missing = min(wanted, limit.workers) - young
    launch = min(missing, max(0, limit.workers - len(observation.workers)))
    capped, cap = (limit.reason, limit.cap) if wanted > limit.workers else ("", "")
    pace = bounds.pace(observation, config, now)
    if pace.launches is not None and pace.launches < launch:
        launch, capped, cap = pace.launches, pace.reason, "launches"
    why = words.more(observation, config, now, wanted, missing - launch, capped)
    lately = tuple(at for at in memory.launches if now - at < bounds.MINUTE_S)
    memory = replace(memory, launches=lately + (now,) * launch if config.launches_a_minute else ())
    desired = observation.count(SUPPLY) + launch
    return Decision(desired, launch, observation.ids({Phase.LOST}), why, memory, capped, cap)


def _looked(observation: Observation, config: PolicyConfig, now: float) -> Memory:
    """Return the memory with what this look tells added."""
    memory = bounds.spent(observation.memory, observation, config, now)
    so_far = observation.done + observation.counted
    arrivals = memory.arrivals.extended(now, so_far)
    heard = (memory.sent_at, observation.sent_at, now if observation.announced else None)
    was_watched = 0 <= now - memory.at <= LONGEST_GAP_S
    empty = memory.empty_since if was_watched else None
    return replace(
        memory,
        arrivals=arrivals,
        sent_at=max((at for at in heard if at is not None), default=None),
        empty_since=(now if empty is None else empty) if not observation.backlog else None,
        at=now,
    )
