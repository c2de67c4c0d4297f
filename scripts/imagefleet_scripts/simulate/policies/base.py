"""What a policy sees and does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from imagefleet_scripts.simulate.cloud import Instance, State
from imagefleet_scripts.simulate.work import Counts


@dataclass(frozen=True, slots=True)
class Look:
    """What can be known at one moment.

    Attributes:
        counts: the queue's, late.
        instances: those that are not gone.
        busy: those of them that hold an image.
        announced: images that came in the last seconds, as the web tier tells.
        done: images finished so far, as the workers tell.
        sent_at: when the newest image that a worker has had came, None before the first.
        service_s: their mean service time, None before the first.
    """

    now: float
    counts: Counts
    instances: Sequence[Instance]
    busy: frozenset[int]
    announced: int
    done: int
    sent_at: float | None
    service_s: float | None

    @property
    def fleet(self) -> list[Instance]:
        """Those that boot or work, and aren't on their way out."""
        return [each for each in self.instances if each.state in (State.BOOTING, State.READY)]


@dataclass(frozen=True, slots=True)
class Action:
    """What to do: instances to launch, to drain, and to terminate whatever they hold."""

    launch: int = 0
    drain: tuple[int, ...] = ()
    kill: tuple[int, ...] = ()
    kill_grace_s: float = 0


class Policy(Protocol):
    """Decides every so often.

    Attributes:
        interval_s: seconds between two looks.
        wakes: whether new work on an idle system wakes it at once.
    """

    interval_s: float
    wakes: bool

    def step(self, look: Look) -> Action:
        """Decide what to do now."""
