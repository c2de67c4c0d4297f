"""An image function to which the first pixel of a picture says what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import deeds
from imagefleet_worker.processors import Pixels, Recipe, Rejected, Resources

HANG, SEGFAULT, DIE, EXIT, RAISE = range(1, 6)
DEEDS: dict[int, Callable[[], object]] = {
    HANG: deeds.DEEDS["hang"],
    SEGFAULT: deeds.DEEDS["segfault"],
    DIE: deeds.DEEDS["die"],
    EXIT: deeds.DEEDS["exit"],
    RAISE: lambda: 1 / 0,
}


class OddWork:
    """Answers with the first pixel, unless that is one of the `DEEDS`."""

    name = "odd-work@1"
    recipe = Recipe(size=8, resize=8, interpolation="bilinear")

    def __init__(self, resources: Resources) -> None:
        self.threads = resources.threads

    def process(self, images: Sequence[Pixels]) -> Sequence[Mapping[str, object] | Rejected]:
        firsts = [int(image[0, 0, 0]) for image in images]
        for first in firsts:
            DEEDS.get(first, int)()
        return [{"first": first, "pid": os.getpid()} for first in firsts]


class Unusable(OddWork):
    """Can't be made."""

    def __init__(self, resources: Resources) -> None:
        raise RuntimeError(f"no licence for {resources.threads} threads")
