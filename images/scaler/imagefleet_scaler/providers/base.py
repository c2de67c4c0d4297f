"""What the loop asks of whatever runs workers: a few verbs, the same for all.

The fleet is whatever carries our labels or variables, so a restarted scaler finds it again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import uuid4

from imagefleet_core.errors import ImagefleetError

# What a worker is told, whoever starts it.
WORKER_ID = "IMAGEFLEET_WORKER_ID"
IDLE_EXIT = "IMAGEFLEET_IDLE_EXIT_S"
METRICS_PORT = "IMAGEFLEET_METRICS_PORT"


class ProviderError(ImagefleetError):
    """The provider did not do what was asked of it; trying again later may succeed."""


class InstanceState(StrEnum):
    """What the provider knows of an instance; what its worker does is telemetry's business."""

    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Instance:
    """One worker's place to run.

    Attributes:
        launched_at: in Unix seconds, by the provider's clock.
        outdated: whether another one would be made of newer parts.
        expected: whether it may not have come to be; if it has, it is soon listed by another id.
    """

    id: str
    state: InstanceState
    launched_at: float
    outdated: bool = False
    expected: bool = False


class Provider(Protocol):
    """Runs workers. Every verb raises `ProviderError` with a sentence for people."""

    def list(self) -> Sequence[Instance]:
        """Return the instances of this fleet that are there, changing nothing."""

    def launch(self, count: int) -> Sequence[str]:
        """Start `count` workers and return their ids; they are listed from now on.

        Fewer, where there is no more to be had: the provider says so, and asks again in a while.
        """

    def retire(self, ids: Collection[str]) -> None:
        """Let workers finish what they hold and go, without waiting; unknown ids are no error.

        They are `STOPPING` or gone from now on.
        """

    def last_words(self, ids: Collection[str]) -> Mapping[str, str]:
        """Return the end of what workers that never came to work have said, where it is known.

        At most 2,000 characters each. Where nothing is known, that is no error. What ran such a
        worker is not used again. It may be gone already, within the last hour: then also why, as
        far as the provider knows.
        """

    def sweep(self) -> None:
        """Clear away what has ended, saying so, and end by force what takes too long to go."""


def new_worker_id() -> str:
    """Return an id that no other worker has."""
    return f"worker-{uuid4().hex[:8]}"
