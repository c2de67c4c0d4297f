"""What the pipeline asks of whatever works on the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imagefleet_core.errors import ImagefleetError
from imagefleet_worker.decoding.pixels import Pixels
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.recipe import Recipe


class ProcessorError(ImagefleetError):
    """The user's class can't be loaded or used; the message says in a line what is wrong."""


class Processor(Protocol):
    """Loaded work on images. Only one thread may use it at a time, and never the main one."""

    @property
    def name(self) -> str:
        """Name and version, `efficientnet-lite0@1`."""

    @property
    def recipe(self) -> Recipe:
        """How pictures must be prepared."""

    def warm_up(self) -> None:
        """Work on a blank picture, so that the first real one takes no longer than the others.

        Raises:
            ProcessorError: that does not work, and so nothing will.
        """

    def process(self, images: Sequence[Pixels]) -> Sequence[Outcome]:
        """Return an outcome for each image, in order.

        Raises:
            Exception: whatever the user's code raises: one of the images is to be tried again.
        """
