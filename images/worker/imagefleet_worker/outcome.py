"""What became of one image, told by whatever worked on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagefleet_core.jobs import Failure, Prediction


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image: exactly one of the three."""

    top: tuple[Prediction, ...] = ()
    output: Mapping[str, Any] | None = None
    error: Failure | None = None

    def __post_init__(self) -> None:
        if (bool(self.top), self.output is not None, self.error is not None).count(True) != 1:
            raise ValueError("an outcome is either predictions, an output or an error")

    def encode(self) -> dict[str, Any]:
        """Return the outcome in JSON's own types."""
        return {
            "top": [[each.label, each.score] for each in self.top],
            "output": self.output,
            "error": self.error and [self.error.code, self.error.message],
        }

    @classmethod
    def decode(cls, told: Mapping[str, Any]) -> Outcome:
        """Return the outcome that `encode` wrote."""
        return cls(
            top=tuple(Prediction(label, score) for label, score in told["top"]),
            output=told["output"],
            error=Failure(*told["error"]) if told["error"] else None,
        )
