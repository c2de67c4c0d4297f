"""A worker that runs short of memory or disk takes no more and gives back what it can."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from clock import Clock
from imagefleet_worker.health.pressure import LOOK_S, Pressure, relieve
from imagefleet_worker.worker import Worker
from worker_tier import Tier, finish, picture

MIB = 1024 * 1024


class Machine:
    """A container of 512 MiB with a disk of 1 GiB, as much of each used as a test says."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.clock = Clock()
        self.disk_free = 900 * MIB
        self.inodes = (10_000, 9_000)
        (folder / "proc/self").mkdir(parents=True)
        (folder / "sys/fs/cgroup").mkdir(parents=True)
        (folder / "proc/self/cgroup").write_text("0::/\n")
        (folder / "sys/fs/cgroup/memory.max").write_text(f"{512 * MIB}\n")
        self.use_memory(100)
        self.pressure = Pressure(
            Path("/tmp"), clock=self.clock, root=folder, disk=lambda _folder: self._disk()
        )

    def use_memory(self, mib: int) -> None:
        (self.root / "sys/fs/cgroup/memory.current").write_text(f"{mib * MIB}\n")

    def reason(self) -> str:
        """Return what it says once it looks again."""
        self.clock.now += LOOK_S
        return self.pressure.reason()

    def _disk(self) -> os.statvfs_result:
        total, free = self.inodes
        told = SimpleNamespace(
            f_frsize=4096,
            f_blocks=1024 * MIB // 4096,
            f_bavail=self.disk_free // 4096,
            f_files=total,
            f_favail=free,
        )
        return cast(os.statvfs_result, told)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_there_is_no_pressure_while_all_is_well(machine: Machine) -> None:
    with capture_logs() as logs:
        assert machine.reason() == ""

    assert machine.pressure.lasts_s() == 0
    assert logs == []


def test_memory_that_runs_short_is_told_until_there_is_enough_and_some(machine: Machine) -> None:
    told = []
    with capture_logs() as logs:
        # a tenth of 512 MiB is 51; half as much again is 77
        for used in (455, 465, 455, 440, 430, 455):
            machine.use_memory(used)
            told.append(bool(machine.reason()))

    assert told == [False, True, True, True, False, False]
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert logs[0]["reason"] == "memory runs short: 47 MiB free"


def test_of_a_large_machine_a_tenth_is_more_than_enough(machine: Machine) -> None:
    (machine.root / "sys/fs/cgroup/memory.max").write_text(f"{65536 * MIB}\n")

    machine.use_memory(65536 - 300)
    assert machine.reason() == ""

    machine.use_memory(65536 - 200)
    assert machine.reason() == "memory runs short: 200 MiB free"


def test_a_machine_that_runs_short_counts_though_the_container_has_enough(
    machine: Machine,
) -> None:
    (machine.root / "proc/meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 102400 kB\n")

    assert machine.reason() == "memory runs short: 100 MiB free"


def test_a_disk_that_runs_full_is_told(machine: Machine) -> None:
    machine.disk_free = 40 * MIB
    assert machine.reason() == "disk of /tmp runs short: 40 MiB free"

    machine.disk_free = 200 * MIB
    assert machine.reason() == ""


@pytest.mark.parametrize(
    ("inodes", "told"),
    [
        ((10_000, 100), "inodes of /tmp runs short: 100 free"),
        ((0, 0), ""),  # a file system that makes them as needed
    ],
)
def test_a_disk_without_inodes_is_told(
    machine: Machine, inodes: tuple[int, int], told: str
) -> None:
    machine.inodes = inodes

    assert machine.reason() == told


def test_pressure_is_measured_once_a_second_at_most(machine: Machine) -> None:
    machine.reason()
    machine.disk_free = 0

    machine.clock.now += LOOK_S / 2
    assert machine.pressure.reason() == ""
    assert machine.reason() != ""


def test_how_long_it_lasts_is_told(machine: Machine) -> None:
    machine.disk_free = 0
    machine.reason()
    machine.clock.now += 90

    assert machine.pressure.lasts_s() == 90


def test_a_folder_that_is_gone_is_not_this_ones_business(tmp_path: Path) -> None:
    gone = Pressure(tmp_path / "gone", clock=Clock(), root=tmp_path)

    assert gone.reason() == ""


def held_by(tier: Tier, count: int) -> Worker:
    tier.submit(picture((number, 1, 1)) for number in range(count))
    worker = tier.worker()
    worker.consumer.turn()
    return worker


def test_what_nobody_has_begun_on_goes_back_at_once(tmp_path: Path) -> None:
    tier = Tier(tmp_path)
    worker = held_by(tier, 10)
    worker.pipeline.fetching.turn()

    assert relieve(worker.pipeline.fetching, worker.leases) == 9

    # then others can have it, and what was begun is finished
    assert tier.requests.counts().visible == 9
    assert worker.leases.held() == 1
    finish(worker)
    assert len(tier.store.results) == 1
    assert tier.requests.counts().total == 9


def test_a_message_whose_other_images_are_under_way_stays(tmp_path: Path) -> None:
    # given one message about three files in the inbox, and another about one
    tier = Tier(tmp_path)
    files = [[f"inbox/{number}.png" for number in range(3)], ["inbox/other.png"]]
    for keys in files:
        for key in keys:
            tier.store.put_image(key, picture((1, 1, 1)), "image/png")
        records = [
            {"eventTime": "2026-01-31T12:00:00.000Z", "s3": {"object": {"key": key}}}
            for key in keys
        ]
        tier.requests.send([json.dumps({"Records": records})])
    worker = tier.worker()
    worker.consumer.turn()
    worker.pipeline.fetching.turn()

    assert relieve(worker.pipeline.fetching, worker.leases) == 1

    finish(worker)
    assert len(tier.store.results) == 3
    assert tier.requests.counts().visible == tier.requests.counts().total == 1


def test_with_nothing_to_give_back_nothing_happens(tmp_path: Path) -> None:
    tier = Tier(tmp_path)
    worker = tier.worker()
    tier.requests.outage.begin()

    assert relieve(worker.pipeline.fetching, worker.leases) == 0
