"""What every classifier offers, whichever network it is and whatever runs it."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.jobs import Prediction
from imagefleet_worker.recipe import Recipe

# uint8 RGB of shape (count, size, size, 3).
Images: TypeAlias = NDArray[np.uint8]


class ModelError(ImagefleetError):
    """The network can't be loaded; the message says what is wrong with which file."""


def one_line(error: Exception) -> str:
    """Return what a runtime says, which may be a page, in a line."""
    return " ".join(str(error).split())[:400]


class Classifier(Protocol):
    """A loaded network. Only one thread may use it at a time."""

    @property
    def model(self) -> str:
        """Name and version, `efficientnet-lite0@1`."""

    @property
    def recipe(self) -> Recipe:
        """How pictures must be prepared."""

    def warm_up(self) -> None:
        """Classify a blank picture, so that the first real one takes no longer than the others."""

    def classify(self, images: Images) -> list[list[Prediction]]:
        """Return the five best labels of each image, best first.

        Args:
            images: of shape (count, size, size, 3); the count may differ with every call.
        """
