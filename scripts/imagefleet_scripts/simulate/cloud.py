"""A simulated EC2 and SQS: boots with a tail, failures, no capacity, lagging counts, spot losses.

Times are those to plan with (docs/design.md): 16 s until an instance runs and is billed, 26 s to
its login, then the worker's container is pulled and started.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import simpy

from imagefleet_scaler.meter import LEAST_S
from imagefleet_scripts.simulate.work import Counts, Work

PENDING_S = 16.0  # not billed
BILLED_LEAST_S = LEAST_S
# A few cents: a general-purpose instance with two cores, on demand.
USD_PER_HOUR = 0.0857


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the cloud behaves; times in seconds.

    Attributes:
        boot_s: the median from launch to a worker at work; `boot_sigma` of its logarithm.
        slow_boots: the share that takes twice as long.
        failed_boots: the share that never comes to work.
        dead_after_s: when a failed boot is noticed and ended, if the policy doesn't before.
        no_capacity: the share of launch calls that get nothing.
        lag_s: the mean by which a read of the counts is late (exponential, at most a minute).
        spot_life_s: the mean life of an instance until it is taken away, 0 for ever.
    """

    boot_s: float = 40
    boot_sigma: float = 0.12
    slow_boots: float = 0.03
    failed_boots: float = 0.01
    dead_after_s: float = 300
    no_capacity: float = 0.02
    lag_s: float = 3
    spot_life_s: float = 0
    max_workers: int = 20


class State(StrEnum):
    """Of an instance."""

    BOOTING = "booting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(eq=False, slots=True)
class Instance:
    """A simulated instance; times in seconds, `ready_at` infinite where the boot fails."""

    id: int
    launched_at: float
    ready_at: float
    gone_at: float = float("inf")
    state: State = State.BOOTING


@dataclass
class Cloud:
    """Runs instances in virtual time.

    The boots and failures are drawn in the order of launches, from a generator of their own: so
    all policies meet the same.

    Attributes:
        bills: the billed seconds of each instance that is gone.
        sizes: how many instances there were, from each change on.
    """

    env: simpy.Environment
    work: Work
    conditions: Conditions
    seed: int
    instances: dict[int, Instance] = field(default_factory=dict)
    bills: list[float] = field(default_factory=list)
    sizes: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    _snapshots: list[tuple[float, Counts]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._boots = np.random.default_rng(self.seed)
        self._luck = np.random.default_rng(self.seed + 1)
        self._launched = 0
        self._drawn: list[float] = []
        self._known = 0.0

    def launch(self, many: int) -> int:
        """Launch instances; return how many the cloud had capacity for."""
        if many and self._luck.random() < self.conditions.no_capacity:
            return 0
        for _ in range(many):
            now, boot_s = self.env.now, self.boot_of(self._launched)
            instance = Instance(self._launched, now, now + boot_s)
            self._launched += 1
            self.instances[instance.id] = instance
            self.env.process(self._life(instance))
        self.sizes.append((self.env.now, len(self.instances)))
        return many

    def boot_of(self, number: int) -> float:
        """Return how long the boot of the launch of that number takes."""
        while len(self._drawn) <= number:
            self._drawn.append(self._draw())
        return self._drawn[number]

    @property
    def most(self) -> int:
        """The largest the fleet has been."""
        return max(size for _, size in self.sizes)

    @property
    def launched(self) -> int:
        """How many have been launched so far."""
        return self._launched

    def skip_failing(self, many: int) -> None:
        """Let the next launches have the luck of those after them, where theirs is to fail."""
        following = range(self._launched, self._launched + many)
        self._drawn[self._launched :] = [
            boot_s
            for boot_s in (self.boot_of(number) for number in following)
            if boot_s != float("inf")
        ]

    def drain(self, ids: Iterable[int]) -> None:
        """Let instances finish what they hold and go."""
        for instance in [self.instances[each] for each in ids if each in self.instances]:
            if instance.state is State.READY:
                instance.state = State.DRAINING
                gone_at = self.work.drain(instance.id, self.env.now)
                self.env.process(self._end_at(instance, gone_at))
            elif instance.state is State.BOOTING:
                self._end(instance)

    def kill(self, ids: Iterable[int], grace_s: float = 0) -> None:
        """Terminate instances, which take what is not finished within `grace_s` with them."""
        for instance in [self.instances[each] for each in ids if each in self.instances]:
            if instance.state is State.READY:
                left = self.work.busy_s(instance.id, self.env.now)
                if left <= grace_s:
                    self.drain([instance.id])
                    continue
                self.work.kill(instance.id, self.env.now)
            if instance.state in (State.READY, State.BOOTING):
                self._end(instance)

    def counts(self) -> Counts:
        """Return the queue's counts as they are read: late."""
        late = min(60.0, float(self._luck.exponential(self.conditions.lag_s)))
        self._known = known = max(self._known, self.env.now - late)
        while len(self._snapshots) > 1 and self._snapshots[1][0] <= self.env.now - 60:
            self._snapshots.pop(0)
        read = Counts(0, 0, 0)
        for at, counts in reversed(self._snapshots):
            if at <= known:
                read = counts
                break
        return read

    def look(self) -> None:
        """Bring the work up to now, and remember the counts."""
        self.work.advance(self.env.now)
        self._snapshots.append((self.env.now, self.work.counts(self.env.now)))

    def instance_s(self, now: float) -> float:
        """Return the billed seconds so far, of those that still run too."""
        running = [_billed(each.launched_at, now) for each in self.instances.values()]
        return sum(self.bills) + sum(running)

    def _life(self, instance: Instance) -> Generator[Any, Any, None]:
        if instance.ready_at == float("inf"):
            yield self.env.timeout(self.conditions.dead_after_s)
            if instance.state is State.BOOTING:
                self._end(instance)
            return
        yield self.env.timeout(instance.ready_at - self.env.now)
        if instance.state is not State.BOOTING:
            return
        instance.state = State.READY
        self.work.advance(self.env.now)
        self.work.join(instance.id, self.env.now)
        if self.conditions.spot_life_s:
            yield self.env.timeout(float(self._luck.exponential(self.conditions.spot_life_s)))
            self.work.advance(self.env.now)
            self.kill([instance.id], grace_s=120)  # as long as EC2's notice

    def _end_at(self, instance: Instance, at: float) -> Generator[Any, Any, None]:
        yield self.env.timeout(at - self.env.now)
        self._end(instance)

    def _end(self, instance: Instance) -> None:
        instance.state, instance.gone_at = State.GONE, self.env.now
        del self.instances[instance.id]
        self.sizes.append((self.env.now, len(self.instances)))
        self.bills.append(_billed(instance.launched_at, instance.gone_at))

    def _draw(self) -> float:
        conditions = self.conditions
        boot_s = conditions.boot_s * float(np.exp(conditions.boot_sigma * self._boots.normal()))
        luck = self._boots.random()
        if luck < conditions.failed_boots:
            return float("inf")
        return boot_s * (2 if luck > 1 - conditions.slow_boots else 1)


def _billed(launched_at: float, gone_at: float) -> float:
    """Return what EC2 bills: by the second from `running` on, at least a minute."""
    ran = gone_at - launched_at - PENDING_S
    return max(BILLED_LEAST_S, ran) if ran > 0 else 0.0
