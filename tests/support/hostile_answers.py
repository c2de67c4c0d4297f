"""Decodes files in a process of its own and tells, line by line, what came of each.

Crashes, and memory that others have used, stay out of the tests: `ask` starts the process. It
decodes in itself (`in_process`) or has a decoder do it, as a worker does (`child`).
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from hostile_case import PICTURE

SIZE, RESIZE = 224, 256
MAX_PIXELS = 50_000_000
# What a decoder may use: two bytes for each coefficient of a progressive JPEG of four colours.
MEMORY_BYTES = 8 * MAX_PIXELS
MIB = 1 << 20
DEADLINE_S = 300


@dataclass(frozen=True)
class Answer:
    """What came of decoding a file.

    Attributes:
        answer: `picture`, or the code of the error.
        message: of the error.
        shape: height, width and channels of the picture.
        seconds: how long it took.
        peak_mb: the most memory that what decodes has held since it began, in MiB.
    """

    answer: str
    message: str
    shape: tuple[int, ...]
    seconds: float
    peak_mb: float


def ask(
    files: Mapping[str, bytes], folder: Path, way: str, limit_s: float = 30
) -> dict[str, Answer]:
    """Decode files one after the other in a fresh process; return the answers by name."""
    for number, data in enumerate(files.values()):
        (folder / str(number)).write_bytes(data)
    command = [sys.executable, __file__, way, str(limit_s), str(folder), str(len(files))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S
    )
    answers = dict(zip(files, _answers(done.stdout.splitlines()), strict=False))
    died_of = [name for name in files if name not in answers][:1]
    assert not died_of, f"the process died of {died_of}: {done.stderr[-2000:]}"
    return answers


def _answers(lines: Iterable[str]) -> Iterable[Answer]:
    for line in lines:
        fields = json.loads(line)
        yield Answer(**{**fields, "shape": tuple(fields["shape"])})


def decode_all(paths: Iterable[Path], way: str, limit_s: float) -> None:
    """Decode files and print the answers."""
    from imagefleet_worker.decoding.formats import BadImageError

    with WAYS[way](limit_s) as (decode, peak_mb):
        for path in paths:
            data, start = path.read_bytes(), time.perf_counter()
            shape: tuple[int, ...] = ()
            try:
                shape, answer, message = decode(data), PICTURE, ""
            except BadImageError as error:
                answer, message = error.code, str(error)
            seconds = time.perf_counter() - start
            found = Answer(answer, message, shape, seconds, peak_mb())
            sys.stdout.write(json.dumps(asdict(found)) + "\n")
            sys.stdout.flush()


_Way = tuple[Callable[[bytes], tuple[int, ...]], Callable[[], float]]


@contextmanager
def _in_process(limit_s: float) -> Iterator[_Way]:
    from imagefleet_worker.decoding.decode import decode
    from imagefleet_worker.recipe import Recipe

    recipe = Recipe(SIZE, RESIZE, "bicubic")

    def peak_mb() -> float:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / MIB if sys.platform == "darwin" else peak / 1024

    yield lambda data: decode(data, recipe, MAX_PIXELS).shape, peak_mb


@contextmanager
def _child(limit_s: float) -> Iterator[_Way]:
    from imagefleet_worker.children.decoders import Decoders
    from imagefleet_worker.recipe import Recipe

    recipe, most = Recipe(SIZE, RESIZE, "bicubic"), 0.0

    def peak_mb() -> float:
        nonlocal most
        for child in psutil.Process().children():
            most = max(most, peak_of(child.pid))
        return most

    with Decoders(
        count=1, max_pixels=MAX_PIXELS, limit_s=limit_s, memory_bytes=MEMORY_BYTES
    ) as decoders:
        decoders.await_ready()
        yield lambda data: (*decoders.decode(data, recipe)[:2], 3), peak_mb


WAYS = {"in_process": _in_process, "child": _child}


def peak_of(pid: int) -> float:
    """Return the most memory that a process has held, in MiB; 0 where that isn't known."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it ended meanwhile, or this isn't Linux
        return 0.0
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(peak[1]) / 1024 if peak else 0.0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    way, limit_s, folder, count = sys.argv[1:]
    decode_all((Path(folder, str(number)) for number in range(int(count))), way, float(limit_s))
