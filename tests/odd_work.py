"""An image function to which the first pixel of a picture says what to do."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence

from imagefleet_worker.processors import Pixels, Recipe, Rejected, Resources

# A regular expression whose time doubles with every letter, and which C code runs in one go.
ENDLESS = re.compile(r"(a+)+$")

DEEDS: dict[int, Callable[[], object]] = {
    1: lambda: ENDLESS.match("a" * 64 + "b"),
    2: lambda: ctypes.string_at(0),
    3: lambda: os.kill(os.getpid(), signal.SIGKILL),
    4: lambda: os._exit(3),
    5: lambda: 1 / 0,
}
HANG, SEGFAULT, DIE, EXIT, RAISE = DEEDS


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
