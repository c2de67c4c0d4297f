"""How many CPUs a worker finds it may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagefleet_worker.machine.cpus import usable_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_quota_it_is_all_that_the_affinity_leaves(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 8


@pytest.mark.parametrize(
    ("cpu_max", "cpus"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("25000 10000", 2),
        ("", 8),
    ],
)
def test_a_container_of_cgroup_v2_has_its_quota(tmp_path: Path, cpu_max: str, cpus: int) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": cpu_max})

    assert usable_cpus(root) == cpus


def test_the_smallest_quota_of_nested_groups_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/docker.service\n",
            "sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/system.slice/docker.service/cpu.max": "max 100000\n",
        },
    )

    assert usable_cpus(root) == 3


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("group", ["/", "/docker/0123abcd"])
def test_a_container_of_cgroup_v1_has_its_quota(tmp_path: Path, mount: str, group: str) -> None:
    # A container sees its own group at the root of the mount, whatever the path says.
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": f"5:memory:{group}\n4:cpu,cpuacct:{group}\n1:name=systemd:/\n",
            f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us": "400000\n",
            f"sys/fs/cgroup/{mount}/cpu.cfs_period_us": "100000\n",
        },
    )

    assert usable_cpus(root) == 4


def test_a_quota_of_minus_one_is_none(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )

    assert usable_cpus(root) == 8


def test_this_machine_has_at_least_one() -> None:
    assert usable_cpus() >= 1
