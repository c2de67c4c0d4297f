"""What the keeper asks of the engine that its machines are containers of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from imagefleet_core.errors import ImagefleetError

State: TypeAlias = Literal["created", "running", "ended"]


class HostError(ImagefleetError):
    """The engine can't do it now."""


class NoSuchImage(HostError):
    """There is no such image, now or later."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine, by its instance's id.

    Attributes:
        status: what it ended with; 0 while it runs.
        address: where it is on the metadata network; empty while it doesn't run.
    """

    id: str
    state: State
    status: int = 0
    address: str = ""


class Host(Protocol):
    """What the keeper asks of the engine; everything raises `HostError`."""

    def list(self) -> Sequence[Machine]:
        """Return the machines that are there, ended ones too."""
        ...

    def boot(self, instance: str, image: str) -> None:
        """Make a machine and start it; raises `NoSuchImage` too."""
        ...

    def start(self, instance: str) -> None:
        """Start one that is there, with the disk that it had."""
        ...

    def stop(self, instance: str, *, within_s: int) -> None:
        """Shut one down and return when it is; what is too slow is killed, workers too."""
        ...

    def kill(self, instance: str) -> None:
        """Pull its plug."""
        ...

    def clear(self, instance: str) -> None:
        """Remove what ran inside of it, if that has outlived it."""
        ...

    def remove(self, instance: str) -> None:
        """Remove it and what ran inside of it; one that is gone already is no error."""
        ...

    def last_words(self, instance: str) -> str:
        """Return the end of its console."""
        ...
