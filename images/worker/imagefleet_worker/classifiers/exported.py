"""The classifier that an exported network and a runtime make together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagefleet_core.jobs import Prediction
from imagefleet_worker.classifiers.base import Images, ModelError, one_line
from imagefleet_worker.classifiers.model import Model
from imagefleet_worker.recipe import Recipe

TOP = 5

# From images to probabilities of shape (count, labels).
Network: TypeAlias = Callable[[Images], NDArray[np.float32]]


class ExportedClassifier:
    """A network with its labels; only one thread may use it at a time."""

    def __init__(self, model: Model, network: Network) -> None:
        self._model = model
        self._network = network

    @property
    def model(self) -> str:
        """Name and version."""
        return self._model.name

    @property
    def recipe(self) -> Recipe:
        """How pictures must be prepared."""
        return self._model.recipe

    def warm_up(self) -> None:
        """Run the network on a blank picture; raises ModelError if it answers wrongly."""
        blank = np.zeros((1, self.recipe.size, self.recipe.size, 3), np.uint8)
        try:
            for _ in range(self._model.calls_to_warm):
                shape = self._network(blank).shape
        except Exception as error:
            raise ModelError(f"{self.model} can't be run: {one_line(error)}") from error
        if shape != (1, len(self._model.labels)):
            raise ModelError(
                f"{self.model} has {len(self._model.labels)} labels, and answers of shape {shape}"
            )

    def classify(self, images: Images) -> list[list[Prediction]]:
        """Return the five best labels of each image, best first."""
        return best(self._network(images), self._model.labels)


def best(probabilities: NDArray[np.float32], labels: Sequence[str]) -> list[list[Prediction]]:
    """Return the `TOP` best labels of each row of `probabilities`, of shape (count, labels).

    Scores have four decimals: further ones change with an image's neighbours in its batch.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    return [
        [Prediction(labels[index], round(float(row[index]), 4)) for index in indexes]
        for row, indexes in zip(probabilities, order, strict=True)
    ]
