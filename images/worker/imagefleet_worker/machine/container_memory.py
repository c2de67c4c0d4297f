"""How much memory this process may use, and how much of it is free.

Limits: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files (v2) and
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (v1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagefleet_worker.machine.cgroup import read, v1_folders, v2_folders

# The page cache: the kernel gives it up before it ends anybody for want of memory. The active
# half counts too, or a container would seem full for having read its own files.
_CACHE_V2 = ("inactive_file", "active_file")
_CACHE_V1 = ("total_inactive_file", "total_active_file")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a container or the machine has in all, and those that are free."""

    total: int
    free: int


def usable_memory(root: Path = Path("/")) -> int:
    """Return the bytes this process may use: its container's limit, or all the machine has.

    Args:
        root: where the file systems `/proc` and `/sys` are found.
    """
    return min((each.total for each in memories(root)), default=_physical())


def memories(root: Path = Path("/")) -> list[Memory]:
    """Return the memory of the machine and of each container around that limits it."""
    return [*_machine(root), *_containers(root)]


def _machine(root: Path) -> Iterator[Memory]:
    told = _table(root / "proc/meminfo")
    if "MemTotal:" in told and "MemAvailable:" in told:
        yield Memory(told["MemTotal:"] * 1024, told["MemAvailable:"] * 1024)


def _containers(root: Path) -> Iterator[Memory]:
    for folder in v2_folders(root):
        yield from _container(folder, "memory.max", "memory.current", _CACHE_V2)
    for folder in v1_folders(root, "memory"):
        yield from _container(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", _CACHE_V1)


def _container(folder: Path, limit: str, usage: str, cache: tuple[str, str]) -> Iterator[Memory]:
    total, used = read(folder / limit), read(folder / usage)
    if total.isdecimal() and used.isdecimal():  # "max" is no limit
        told = _table(folder / "memory.stat")
        reclaimable = sum(told.get(name, 0) for name in cache)
        yield Memory(int(total), int(total) - max(0, int(used) - reclaimable))


def _table(file: Path) -> dict[str, int]:
    """Return the names and numbers that a file lists, one pair a line."""
    lines = (line.split() for line in read(file).splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdecimal()}


def _physical() -> int:
    """Return the machine's memory where there is no /proc, as on macOS."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
