"""What is known at one moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from imagefleet_scaler.policy.memory import Memory


class Phase(StrEnum):
    """Where a worker is in its life, as far as the scaler can tell."""

    BOOTING = "booting"
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    LOST = "lost"


# Booting ones count, or a burst would launch the same workers again at every turn.
SUPPLY = frozenset({Phase.BOOTING, Phase.IDLE, Phase.BUSY})
READY = frozenset({Phase.IDLE, Phase.BUSY})


@dataclass(frozen=True, slots=True)
class Worker:
    """One member of the fleet; `launched_at` in Unix seconds."""

    id: str
    phase: Phase
    launched_at: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known at one moment.

    Attributes:
        visible: images that wait; `in_flight`: held by workers; `delayed`: not yet to be had.
        announced: images that the web tier told of just now; the counts may lack them still.
        done: images the workers have finished, as a count that only grows.
        sent_at: when the newest image that anybody heard of was sent, in Unix seconds.
        oldest_s: the age of the image that has waited longest, None where nobody knows.
        service_s: measured seconds one image keeps a worker busy, None before the first.
        boot_s: measured seconds from a launch to a worker at work, None before the first.
        failed_boots: launches in a row that came to nothing; the last at `failed_at`.
        memory: what the last decision gave back.
    """

    visible: int
    in_flight: int = 0
    delayed: int = 0
    workers: tuple[Worker, ...] = ()
    announced: int = 0
    done: int = 0
    sent_at: float | None = None
    oldest_s: float | None = None
    service_s: float | None = None
    boot_s: float | None = None
    failed_boots: int = 0
    failed_at: float = 0
    memory: Memory = field(default_factory=Memory)

    @property
    def counted(self) -> int:
        """Images without a result, as the queue counts them."""
        return self.visible + self.in_flight + self.delayed

    @property
    def backlog(self) -> int:
        """Images without a result, as far as is known.

        Announced ones tell more than the counts only while nobody works on them.
        """
        return self.counted if self.count(READY) else max(self.counted, self.announced)

    def count(self, phases: Collection[Phase]) -> int:
        """Return how many workers are in these phases."""
        return sum(worker.phase in phases for worker in self.workers)

    def ids(self, phases: Collection[Phase]) -> tuple[str, ...]:
        """Return the workers in these phases, the one launched first in front."""
        chosen = [worker for worker in self.workers if worker.phase in phases]
        return tuple(each.id for each in sorted(chosen, key=lambda w: (w.launched_at, w.id)))
