"""How much memory a worker finds it may use, and how much of it is free."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefleet_worker.machine.container_memory import Memory, memories, usable_memory

MIB = 1024 * 1024
MACHINE = "MemTotal:  8388608 kB\nMemFree:  100 kB\nMemAvailable:  4194304 kB\nHugePages_Total: 0\n"
NO_LIMIT_V1 = "9223372036854771712\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MACHINE, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(group: str, limit: str, used_mib: int, cache_mib: int) -> dict[str, str]:
    folder = f"sys/fs/cgroup{group}"
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used_mib * MIB}\n",
        f"{folder}/memory.stat": f"anon 1\ninactive_file {cache_mib * MIB}\nactive_file {MIB}\n",
    }


def v1(group: str, limit: str, used_mib: int, cache_mib: int) -> dict[str, str]:
    folder = f"sys/fs/cgroup/memory{group}"
    return {
        f"{folder}/memory.limit_in_bytes": limit,
        f"{folder}/memory.usage_in_bytes": f"{used_mib * MIB}\n",
        # Those without "total" leave out what is charged to groups below.
        f"{folder}/memory.stat": f"inactive_file 1\ntotal_inactive_file {cache_mib * MIB}\n",
    }


def test_without_a_container_it_is_the_machines(tmp_path: Path) -> None:
    root = write(tmp_path, {})

    assert usable_memory(root) == 8192 * MIB
    assert memories(root) == [Memory(total=8192 * MIB, free=4096 * MIB)]


def test_a_container_of_cgroup_v2_has_its_limit_and_files_in_cache_count_as_free(
    tmp_path: Path,
) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", **v2("", f"{512 * MIB}", 400, 149)})

    assert usable_memory(root) == 512 * MIB
    assert memories(root)[1] == Memory(total=512 * MIB, free=262 * MIB)


def test_the_smallest_limit_of_nested_groups_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/worker\n",
            **v2("", "max", 900, 0),
            **v2("/pod", f"{1024 * MIB}", 800, 0),
            **v2("/pod/worker", "max", 700, 0),
        },
    )

    assert usable_memory(root) == 1024 * MIB
    assert len(memories(root)) == 2


@pytest.mark.parametrize("group", ["/", "/docker/0123abcd"])
def test_a_container_of_cgroup_v1_has_its_limit(tmp_path: Path, group: str) -> None:
    # A container sees its own group at the root of the mount, whatever the path says.
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": f"5:cpu:/elsewhere\n4:memory:{group}\n0::/\n",
            **v1("", f"{256 * MIB}\n", 200, 50),
        },
    )

    assert usable_memory(root) == 256 * MIB
    assert memories(root)[1] == Memory(total=256 * MIB, free=106 * MIB)


def test_the_number_that_stands_for_no_limit_in_v1_is_none(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "4:memory:/\n", **v1("", NO_LIMIT_V1, 200, 0)})

    assert usable_memory(root) == 8192 * MIB


def test_a_machine_without_these_file_systems_has_what_it_has(tmp_path: Path) -> None:
    assert memories(tmp_path) == []
    assert usable_memory(tmp_path) >= 64 * MIB


def test_this_machine_has_some() -> None:
    assert usable_memory() >= 64 * MIB
    assert all(each.free <= each.total for each in memories())
