"""How many CPUs this process may use: what its affinity and its container's quota leave it.

Quotas: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files (v2) and
https://docs.kernel.org/scheduler/sched-bwc.html#management (v1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from imagefleet_worker.machine.cgroup import read, v1_folders, v2_folders


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
    for folder in v2_folders(root):
        match read(folder / "cpu.max").split():
            case [quota, period] if quota != "max":
                yield int(quota) / int(period)
    for folder in v1_folders(root, "cpu"):
        quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
        if quota and period and int(quota) > 0:
            yield int(quota) / int(period)
