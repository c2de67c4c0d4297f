"""A decoder like the worker's own, to which some files do what no file should.

What a file is to do is its content: a word, and perhaps something to do it with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import deeds
from imagefleet_worker.children import decoder
from imagefleet_worker.decoding import picture
from imagefleet_worker.recipe import Picture, Recipe

UNDERESTIMATE = "--underestimate"
Admit: TypeAlias = Callable[[int], None]


def too_little(*_: object) -> int:
    """Return the bytes of memory that no large picture gets by with."""
    return 17_000_000


def take(admit: Admit, size: str, gate: str) -> None:
    """Ask for memory, say so, and hold it until somebody writes to the gate, a FIFO."""
    admit(int(size))
    Path(f"{gate}.holds").touch()
    Path(gate).read_bytes()


def allocate() -> None:
    """Take memory without end."""
    kept = []
    while True:
        kept.append(b"x" * 2**20)


DEEDS = {**deeds.DEEDS, "allocate": allocate}


def main() -> None:
    """Be a decoder; with `--underestimate`, one that knows too little of what pictures need."""
    read = picture.read
    if UNDERESTIMATE in sys.argv:
        sys.argv.remove(UNDERESTIMATE)
        vars(picture).update(footprint=too_little, webp_footprint=too_little)

    def odd_read(
        data: bytes, recipe: Recipe, max_pixels: int, admit: Admit = lambda _needed: None
    ) -> Picture:
        word, *details = data[:1000].decode(errors="replace").split(" ")
        if word == "take":
            take(admit, *details)
        elif word in DEEDS:
            DEEDS[word]()
        else:
            return read(data, recipe, max_pixels, admit)
        return Picture(1, 1, b"odd")

    picture.read = odd_read
    decoder.main()


if __name__ == "__main__":
    main()
