"""Who goes when fewer are needed: never a busy worker, and nobody whose time is paid already."""

from __future__ import annotations

import math

from imagefleet_scaler.policy.config import PolicyConfig
from imagefleet_scaler.policy.memory import Memory
from imagefleet_scaler.policy.observation import READY, SUPPLY, Observation, Phase, Worker

# A turn earlier than the next second is billed.
MARGIN_S = 4.0
REPLACED_AT_ONCE = 0.1


def spare(observation: Observation, config: PolicyConfig, now: float, keep: int) -> tuple[str, ...]:
    """Return the idle workers that may go, those first whose paid time ends soonest."""
    many = observation.count(SUPPLY) - keep
    last_may_go = keep > 0 or is_empty(observation.memory, config, now)
    if not last_may_go:
        many = min(many, observation.count(SUPPLY) - 1)
    idle = [worker for worker in observation.workers if worker.phase is Phase.IDLE]
    free = [worker for worker in idle if paid_until(worker, config) - now <= MARGIN_S]
    free.sort(key=lambda worker: (worker.launched_at, worker.id))
    return tuple(worker.id for worker in free[: max(0, many)])


def is_empty(memory: Memory, config: PolicyConfig, now: float) -> bool:
    """Return whether nothing waits, beyond what the lag of the counts might hide.

    The counts are right once the lag has passed since the last message was sent. So zeros are to
    be believed when they have lasted longer than the lag; or, where it is known when the newest
    image was sent, when that is longer ago than the lag and they have lasted as long as any need
    must.
    """
    if memory.empty_since is None:
        return False
    empty_s = now - memory.empty_since
    if empty_s > config.counts_lag_s:
        return True
    sent_long_ago = memory.sent_at is not None and now - memory.sent_at > config.counts_lag_s
    return sent_long_ago and empty_s >= config.scale_in_after_s


def paid_until(worker: Worker, config: PolicyConfig) -> float:
    """Return until when a worker is paid whatever becomes of it, in Unix seconds."""
    return worker.launched_at + config.billed_s


def expired(observation: Observation, config: PolicyConfig, now: float) -> tuple[str, ...]:
    """Return the workers that are to be replaced now: the oldest of those that are too old.

    Few at a time, so that a fleet that was launched at once is not replaced at once.
    """
    if not config.lifetime_s:
        return ()
    ready = [worker for worker in observation.workers if worker.phase in READY]
    old = [worker for worker in ready if now - worker.launched_at > config.lifetime_s]
    old.sort(key=lambda worker: (worker.launched_at, worker.id))
    return tuple(worker.id for worker in old[: math.ceil(len(ready) * REPLACED_AT_ONCE)])


def replaced(
    observation: Observation, old: tuple[str, ...], need: int, most: int
) -> tuple[str, ...]:
    """Return which of the old workers may drain: those whose replacements are at work.

    Where there is room for no worker more, they go first and are replaced then.
    """
    if len(observation.workers) >= most:
        return old
    without = observation.count(READY) - len(old)
    return old[: max(0, len(old) - max(0, need - without))]
