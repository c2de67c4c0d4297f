"""How many workers there should be, who goes, and why: one pure function.

It knows no AWS and no provider. Time comes with the observation, and what it must remember from
turn to turn goes out with the decision and comes back with the next observation.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from imagefleet_scaler.history import NeedHistory


class Phase(StrEnum):
    """Where a worker is in its life, as far as the scaler can tell."""

    BOOTING = "booting"
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    LOST = "lost"


# Booting ones count, or a burst would launch the same workers again at every turn.
SUPPLY = frozenset({Phase.BOOTING, Phase.IDLE, Phase.BUSY})


@dataclass(frozen=True, slots=True)
class Worker:
    """One member of the fleet; `launched_at` in Unix seconds."""

    id: str
    phase: Phase
    launched_at: float


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """What the operator wants.

    Attributes:
        target_s: seconds in which the backlog should be answered.
        service_s: seconds one image keeps a worker busy, until that has been measured.
        scale_in_after_s: seconds for which fewer must have been needed before any is retired.
    """

    min_workers: int = 0
    max_workers: int = 20
    target_s: float = 10
    service_s: float = 0.1
    scale_in_after_s: float = 60


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known at one moment.

    Attributes:
        now: Unix seconds.
        visible: images that wait; `in_flight`: held by workers; `delayed`: not yet to be had.
        service_s: measured seconds one image keeps a worker busy, None while nobody knows.
        history: what the last decision gave back.
    """

    now: float
    visible: int
    in_flight: int
    delayed: int
    workers: tuple[Worker, ...]
    service_s: float | None = None
    history: NeedHistory = field(default_factory=NeedHistory)

    @property
    def backlog(self) -> int:
        """Images without a result."""
        return self.visible + self.in_flight + self.delayed

    def ids(self, phases: Collection[Phase]) -> tuple[str, ...]:
        """Return the workers in these phases, the one launched first in front."""
        chosen = [worker for worker in self.workers if worker.phase in phases]
        return tuple(each.id for each in sorted(chosen, key=lambda w: (w.launched_at, w.id)))


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Attributes:
        desired: workers to have once this is done, draining and lost ones not counted.
        launch: how many to start.
        retire: who is to drain and go.
        why: a sentence for the person who reads the log.
        history: to hand to the next observation.
    """

    desired: int
    launch: int
    retire: tuple[str, ...]
    why: str
    history: NeedHistory


def decide(observation: Observation, config: PolicyConfig) -> Decision:
    """Decide how the fleet should change now.

    All that is missing is launched at once. Only idle workers are retired, and only down to the
    most that was needed at any time in the last `scale_in_after_s`; lost ones go at once.
    """
    wanted = _wanted(observation, config)
    need = max(config.min_workers, min(wanted, config.max_workers))
    history = observation.history.extended(observation.now, need, config.scale_in_after_s)
    supply = len(observation.ids(SUPPLY))
    lost = observation.ids({Phase.LOST})

    if supply < need:
        room = max(0, config.max_workers - len(observation.workers))
        launch = min(need - supply, room)
        why = _why_more(observation, config, wanted, need - launch)
        return Decision(supply + launch, launch, lost, why, history)

    keep = max(need, history.peak) if history.covers(config.scale_in_after_s) else supply
    spare = max(0, supply - keep)
    idle = observation.ids({Phase.IDLE})[:spare]
    why = _why_fewer(config, need, supply, idle) if supply > need else _why_same(observation, need)
    return Decision(supply - len(idle), 0, idle + lost, why, history)


def _wanted(observation: Observation, config: PolicyConfig) -> int:
    """Return how many workers answer the backlog within the target, whatever is allowed."""
    work_s = observation.backlog * _service_s(observation, config)
    # Rounded, so that 3.0000000000000004 workers are three.
    workers = math.ceil(round(work_s / config.target_s, 6))
    return max(workers, min(1, observation.backlog))


def _service_s(observation: Observation, config: PolicyConfig) -> float:
    return config.service_s if observation.service_s is None else observation.service_s


def _why_more(observation: Observation, config: PolicyConfig, wanted: int, without: int) -> str:
    """Say why more are needed; `without` is how many of the need must do without a launch."""
    supply = len(observation.ids(SUPPLY))
    if wanted < config.min_workers:
        reason = f"at least {_count(config.min_workers, 'worker')} should be there"
    else:
        reason = (
            f"answering {_count(observation.backlog, 'image')} within {config.target_s:g} s, at "
            f"{_service_s(observation, config):.3g} s an image, takes {_count(wanted, 'worker')}"
        )
    reason += f"; {supply} {'is' if supply == 1 else 'are'} there"
    if without > supply:
        leaving = len(observation.workers) - supply
        return f"{reason}, and {leaving} draining or lost must go before there is room for more"
    if wanted > config.max_workers:
        return f"{reason}, and at most {config.max_workers} are allowed"
    return reason


def _why_fewer(config: PolicyConfig, need: int, supply: int, idle: tuple[str, ...]) -> str:
    reason = f"{_count(supply, 'worker')} for a need of {need}"
    if idle:
        return f"{reason}, and no more for {config.scale_in_after_s:g} s: idle ones may go"
    return f"{reason}: idle ones may go once it has held for {config.scale_in_after_s:g} s"


def _why_same(observation: Observation, need: int) -> str:
    if not observation.backlog:
        return f"nothing waits, and {_count(need, 'worker')} should be there"
    verb = "waits" if observation.backlog == 1 else "wait"
    return f"{_count(observation.backlog, 'image')} {verb} for as many workers as are there, {need}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
