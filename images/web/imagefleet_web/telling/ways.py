"""How a result becomes known to a process, for whoever counts them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from imagefleet_core.jobs import Result


class Way(StrEnum):
    """The first that told of a result."""

    REPLY = "reply"
    LOOK = "look"
    DEAD_LETTER = "dead_letter"
    REUSED = "reused"


Heard = Callable[[Result, Way], object]


def nobody(_result: Result, _way: Way) -> None:
    """Count nothing."""
