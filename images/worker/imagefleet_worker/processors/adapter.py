"""The user's image function as a processor: what it says is checked before anybody hears it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import structlog

from imagefleet_core.jobs import Failure
from imagefleet_worker.decoding.pixels import Pixels
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.processors import output
from imagefleet_worker.processors.base import ProcessorError
from imagefleet_worker.processors.interface import ImageFunction, Rejected
from imagefleet_worker.processors.output import OutputError
from imagefleet_worker.processors.reasons import reason
from imagefleet_worker.recipe import Recipe

_NAME = re.compile(r"[A-Za-z0-9][\w.+/-]{0,79}@[\w.+-]{1,40}", re.ASCII)
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_MESSAGE_CHARACTERS = 1000
_GREY = 128

log = structlog.get_logger()


class Adapter:
    """An image function whose answers are known to be what they should.

    Raises:
        ProcessorError: it lacks what every image function has.
    """

    def __init__(self, function: ImageFunction) -> None:
        self._function = function
        about = type(function).__name__
        name, recipe, process = (
            _attribute(function, each) for each in ("name", "recipe", "process")
        )
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ProcessorError(
                f"{about}.name is {name!r:.100}: expected name and version, as 'faces@1'"
            )
        if not isinstance(recipe, Recipe):
            raise ProcessorError(f"{about}.recipe is {output.kind(recipe)}: expected a Recipe")
        if not callable(process):
            raise ProcessorError(f"{about}.process is {output.kind(process)}: expected a method")
        self.name = name
        self.recipe = recipe

    def warm_up(self) -> None:
        """Let the function warm itself up, then prove on a grey picture that it works."""
        try:
            if own := getattr(self._function, "warm_up", None):
                own()
            (outcome,) = self.process([grey(self.recipe)])
        except (Exception, SystemExit) as error:
            log.debug("the image function fails", exc_info=error)
            where = type(self._function).__module__
            raise ProcessorError(f"{self.name} failed: {reason(error, where)}") from error
        # Whether a grey picture is one for it, is its own business.
        if outcome.error and outcome.error.code in (output.FAILED, output.TOO_LARGE):
            raise ProcessorError(outcome.error.message)

    def process(self, images: Sequence[Pixels]) -> list[Outcome]:
        """Return what became of each image; whatever else the function raises passes through."""
        try:
            answers = self._answers(images)
        except (Rejected, OutputError) as error:
            # Nobody knows which of them it was about.
            if len(images) > 1:
                return [outcome for image in images for outcome in self.process([image])]
            return [Outcome(error=self._failure(error))]
        return [self._outcome(answer) for answer in answers]

    def _answers(self, images: Sequence[Pixels]) -> list[object]:
        try:
            answers: object = self._function.process(images)
        except SystemExit as error:  # it would end the thread without a word
            raise RuntimeError("the image function called exit()") from error
        if not isinstance(answers, Sequence) or isinstance(answers, str):
            raise OutputError(
                f"it answered with {output.kind(answers)} instead of a list of JSON objects"
            )
        if len(answers) != len(images):
            raise OutputError(f"it gave {len(answers)} answers instead of {len(images)}")
        return list(answers)

    def _outcome(self, answer: object) -> Outcome:
        try:
            if isinstance(answer, Rejected):
                raise answer
            return Outcome(output=output.checked(answer))
        except (Rejected, OutputError) as error:
            return Outcome(error=self._failure(error))

    def _failure(self, error: Rejected | OutputError) -> Failure:
        message = str(error).encode(errors="replace").decode()[:_MESSAGE_CHARACTERS]
        if isinstance(error, OutputError):
            return Failure(error.code, f"{self.name} failed: {message}.")
        if _CODE.fullmatch(str(error.code)):
            return Failure(error.code, message)
        wrong = OutputError(f"it rejected an image with the code {error.code!r:.80}")
        return self._failure(wrong)


def _attribute(function: ImageFunction, name: str) -> object:
    try:
        return getattr(function, name)
    except Exception as error:
        kind = type(function)
        why = reason(error, kind.__module__)
        raise ProcessorError(f"{kind.__name__} has no {name}: {why}") from error


def grey(recipe: Recipe) -> Pixels:
    """Return a picture of nothing, as the recipe would make it."""
    height = recipe.size if recipe.crop else max(1, recipe.size * 3 // 4)
    return np.full((height, recipe.size, 3), _GREY, np.uint8)
