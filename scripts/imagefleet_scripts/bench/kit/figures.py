"""Rounds of figures summed up, and held against what is to be reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reach:
    """A bound that a figure should keep.

    Attributes:
        what: the figure, for people.
        kind: whether `bound` is the most or the least it may be.
        unit: stands behind the numbers.
        counts: whether the figure means anything; if not, there is no verdict.
    """

    what: str
    value: float
    kind: Literal["at most", "at least"]
    bound: float
    unit: str = ""
    counts: bool = True

    @property
    def met(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.value <= self.bound if self.kind == "at most" else self.value >= self.bound

    def __str__(self) -> str:
        verdict = "reached" if self.met else "NOT reached"
        if not self.counts:
            verdict = "no verdict"
        return (
            f"{verdict:12}{self.what}: {self.value:.3g}{self.unit} "
            f"({self.kind} {self.bound:g}{self.unit})"
        )


def rounded(value: float) -> float:
    """Return a figure with four significant digits."""
    return float(f"{value:.4g}")


def median(values: Sequence[float]) -> float:
    """Return the median, rounded."""
    return rounded(statistics.median(values))


def ratio(rounds: Sequence[Mapping[str, float]], one: str, other: str) -> float:
    """Return the median over the rounds of `one` divided by `other` of the same round.

    A round's figures are taken one after the other, so a machine that slows down for a while
    slows both.
    """
    return median([each[one] / each[other] for each in rounds])


def spread(values: Sequence[float]) -> str:
    """Write the least, the median and the most of some values."""
    return f"{statistics.median(values):8.4g}  ({min(values):.4g} to {max(values):.4g})"
