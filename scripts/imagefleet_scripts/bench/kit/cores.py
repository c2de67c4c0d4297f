"""Which core the system under test has, and which one everything else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imagefleet_scripts.bench.kit.errors import BenchError


@dataclass(frozen=True)
class Cores:
    """Two cores of this machine, by number.

    Attributes:
        tested: for the system under test alone.
        beside: for the emulator, the proxy and whoever makes the load.
    """

    tested: int
    beside: int


def choose() -> Cores:
    """Return two cores that this process may use; raises `BenchError` where there is but one."""
    if not hasattr(os, "sched_getaffinity"):
        raise BenchError("processes can be pinned to a core on Linux only")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchError("needs two cores: one for what is measured, one for everything else")
    return Cores(tested=usable[-1], beside=usable[0])


@contextmanager
def on(core: int) -> Iterator[None]:
    """Keep this thread, and every process that it starts meanwhile for good, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
