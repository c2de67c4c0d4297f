"""How many CPUs this process may use: what its affinity and its container's quota leave it.

Quotas: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files (v2) and
https://docs.kernel.org/scheduler/sched-bwc.html#management (v1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def usable_cpus(root: Path = Path("/")) -> int:
    """Return the number of CPUs to make threads for, at least 1.

    A quota of 1.5 counts as 1: a thread more than the quota feeds is throttled in its work.

    Args:
        root: where the file systems `/proc` and `/sys` are found.
    """
    return max(1, int(min([_affinity(), *_quotas(root)])))


def _affinity() -> int:
    # Only Linux tells which CPUs a process may run on.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPUs each cgroup around this process grants."""
    base = root / "sys/fs/cgroup"
    for controllers, own in _cgroups(root / "proc/self/cgroup"):
        for around in (own, *own.parents):
            folder = PurePosixPath(*around.parts[1:])
            if not controllers:
                yield from _v2_quota(base / folder)
            elif "cpu" in controllers.split(","):
                yield from _v1_quota(base / controllers / folder)
                yield from _v1_quota(base / "cpu" / folder)


def _cgroups(file: Path) -> list[tuple[str, PurePosixPath]]:
    """Return the controllers and path of each hierarchy; v2 names no controllers.

    Inside a container the path may be the host's; the walk to the root meets the quota anyway.
    """
    lines = (line.split(":", 2) for line in _read(file).splitlines())
    return [(parts[1], PurePosixPath(parts[2])) for parts in lines if len(parts) == 3]


def _v2_quota(folder: Path) -> Iterator[float]:
    match _read(folder / "cpu.max").split():
        case [quota, period] if quota != "max":
            yield int(quota) / int(period)


def _v1_quota(folder: Path) -> Iterator[float]:
    quota = _read(folder / "cpu.cfs_quota_us").strip()
    period = _read(folder / "cpu.cfs_period_us").strip()
    if quota and period and int(quota) > 0:
        yield int(quota) / int(period)


def _read(file: Path) -> str:
    """Return a file's text, empty if it can't be read: then there is no such limit."""
    try:
        return file.read_text()
    except OSError:
        return ""
