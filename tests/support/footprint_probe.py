"""Decodes the file on its standard input, and prints what memory that took and what was foreseen.

In a process of its own: the system only tells the peak of a whole life.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from imagefleet_worker.decoding import picture
from imagefleet_worker.recipe import Recipe


def kilobytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))


def main() -> None:
    recipe = Recipe(int(sys.argv[1]), int(sys.argv[1]), "bicubic", crop=sys.argv[2] == "crop")
    data = sys.stdin.buffer.read()
    tiny = io.BytesIO()
    Image.new("RGB", (64, 64)).save(tiny, "JPEG")
    picture.read(tiny.getvalue(), recipe, 10**9)
    before, foreseen = kilobytes("VmSize"), [0]
    picture.read(data, recipe, 10**9, foreseen.append)
    took = (kilobytes("VmPeak") - before) * 1024
    sys.stdout.write(f"{took} {max(foreseen)}\n")


if __name__ == "__main__":
    main()
