"""The default: a network names what is in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from imagefleet_core.jobs import Failure, Prediction
from imagefleet_worker.classifiers import Classifier
from imagefleet_worker.decoding.pixels import Pixels
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.processors.output import FAILED
from imagefleet_worker.recipe import Recipe


class Classification:
    """A classifier as a processor."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    @property
    def name(self) -> str:
        """The network's name and version."""
        return self._classifier.model

    @property
    def recipe(self) -> Recipe:
        """How the network wants its pictures."""
        return self._classifier.recipe

    def warm_up(self) -> None:
        """Classify a blank picture."""
        self._classifier.warm_up()

    def process(self, images: Sequence[Pixels]) -> list[Outcome]:
        """Return the best labels of each image."""
        return [self._outcome(top) for top in self._classifier.classify(np.stack(images))]

    def _outcome(self, top: Sequence[Prediction]) -> Outcome:
        if all(math.isfinite(each.score) for each in top):
            return Outcome(top=tuple(top))
        return Outcome(error=Failure(FAILED, f"{self.name} failed: its scores are no numbers."))
