"""What the user of a worker writes to have work of their own done.

Three names and a method make an image function; it needs no base class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imagefleet_worker.decoding.pixels import Pixels
from imagefleet_worker.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Resources:
    """What an image function may use.

    Attributes:
        threads: CPU threads for it, at least 1.
        model_dir: the folder named by `IMAGEFLEET_MODEL_DIR`, if any.
    """

    threads: int
    model_dir: Path | None


class Rejected(Exception):
    """Returned in place of an image's output, or raised: no other try would end better.

    Attributes:
        code: a stable name of the reason, for programs: lower case, digits and underscores.
        message: the same as a sentence, for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ImageFunction(Protocol):
    """What a class named by `IMAGEFLEET_PROCESSOR` must be; it is made with one `Resources`.

    It may also have `warm_up(self)`, which is called once, before the first image.

    Attributes:
        name: name and version, `faces@3`, which stand in every result.
        recipe: how pictures are to be prepared.
    """

    name: str
    recipe: Recipe

    def process(self, images: Sequence[Pixels], /) -> Sequence[Mapping[str, object] | Rejected]:
        """Return a JSON object for each image, in order.

        Called by the thread that made the instance, which is not the main thread. Exceptions
        other than `Rejected` have the image tried again, elsewhere.
        """
