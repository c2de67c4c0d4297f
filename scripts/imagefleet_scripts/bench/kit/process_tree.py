"""What a process and its children take of the machine, watched from outside."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from imagefleet_scripts.bench.kit.errors import BenchError

_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """What a tree of processes had taken at one moment.

    Attributes:
        at: seconds since the epoch.
        cpu_s: of all of them since their start, and of those that have ended and been waited for.
        pss_mb: memory in use now; a page that several share counts once in all. 0 if not asked.
        peak_rss_mb: the most that each had ever had, added up: never less than the true peak.
    """

    at: float
    cpu_s: float
    pss_mb: float = 0.0
    peak_rss_mb: float = 0.0


def sample(pid: int, *, memory: bool = False) -> Sample:
    """Look at a process and all below it; raises `BenchError` if it has ended."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
        cpu_s = sum(_cpu_s(each) for each in tree)
    except psutil.Error as error:
        raise BenchError(f"process {pid} ended while it was measured") from error
    if not memory:
        return Sample(time.time(), cpu_s)
    return Sample(
        time.time(),
        cpu_s,
        sum(_megabytes(f"/proc/{each.pid}/smaps_rollup", _PSS) for each in tree),
        sum(_megabytes(f"/proc/{each.pid}/status", _PEAK) for each in tree),
    )


def cpu_between(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Return the CPU seconds spent from `begin` to `end`, between samples in proportion.

    Raises:
        BenchError: nobody looked before `begin` or after `end`.
    """
    return _cpu_at(samples, end) - _cpu_at(samples, begin)


class Watch:
    """Samples a tree of processes until it is told to stop, in a thread of its own.

    Args:
        every_s: the pause between two samples.
        memory: whether to look at memory as well, which takes some milliseconds.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], *, every_s: float = 0.05, memory: bool = False
    ) -> None:
        self.samples: list[Sample] = []
        self._process = process
        self._memory = memory
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def _watch(self) -> None:
        while not self._over.wait(self._every_s) and self.alive():
            with suppress(BenchError):
                self.samples.append(sample(self._process.pid, memory=self._memory))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _cpu_at(samples: Sequence[Sample], at: float) -> float:
    after = bisect_left(samples, at, key=lambda each: each.at)
    if not 0 < after < len(samples):
        raise BenchError("the process was not watched for the whole of the time to be measured")
    one, two = samples[after - 1], samples[after]
    return one.cpu_s + (two.cpu_s - one.cpu_s) * (at - one.at) / (two.at - one.at)


def _megabytes(file: str, pattern: re.Pattern[str]) -> float:
    try:
        found = pattern.search(Path(file).read_text())
    except OSError:  # it ended meanwhile
        return 0.0
    return int(found[1]) * 1024 / 1e6 if found else 0.0
