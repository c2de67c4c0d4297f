"""Containers follow records, and records follow containers that end."""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clock import Clock
from imagefleet_machines.host import HostError, Machine
from imagefleet_machines.keeper import TRIES, Keeper
from imagefleet_machines.notices import Notices
from memory_machines import AMI, IMAGE, AtOnce, Later, MemoryHost, MemoryRecords


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notices(tmp_path: Path, clock: Clock) -> Notices:
    return Notices(tmp_path / "notices", lambda: datetime.fromtimestamp(clock(), UTC))


@pytest.fixture
def keeper(records: MemoryRecords, host: MemoryHost, notices: Notices, clock: Clock) -> Keeper:
    return keep(records, host, notices, clock, AtOnce())


def keep(
    records: MemoryRecords, host: MemoryHost, notices: Notices, clock: Clock, workers: Executor
) -> Keeper:
    return Keeper(records, host, images={AMI: IMAGE}, notices=notices, workers=workers, clock=clock)


def test_what_is_launched_boots_once_and_what_is_terminated_goes(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost
) -> None:
    first, second = records.launch(), records.launch()
    keeper.turn()
    keeper.turn()
    assert host.boots == {first: 1, second: 1}

    records.change(first, "terminated")
    keeper.turn()

    assert set(host.machines) == {second}
    assert host.left == {second}


def test_one_that_boots_is_not_booted_again_however_long_it_takes(
    records: MemoryRecords, host: MemoryHost, notices: Notices, clock: Clock
) -> None:
    later = Later()
    keeper = keep(records, host, notices, clock, later)
    instance = records.launch()

    for _ in range(3):
        keeper.turn()

    assert later.do() == 1
    assert host.boots == {instance: 1}


def test_a_stopped_instance_keeps_its_machine_and_starts_again(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost
) -> None:
    instance = records.launch()
    keeper.turn()

    records.change(instance, "stopped")
    keeper.turn()
    keeper.turn()
    assert host.machines[instance].state == "ended"
    assert records.state(instance) == "stopped"

    records.change(instance, "running")
    keeper.turn()
    keeper.turn()
    assert host.machines[instance].state == "running"
    assert host.boots[instance] == 2
    assert records.state(instance) == "running"


def test_one_started_while_it_shuts_down_starts_after_that(
    records: MemoryRecords, host: MemoryHost, notices: Notices, clock: Clock
) -> None:
    later = Later()
    keeper = keep(records, host, notices, clock, later)
    instance = records.launch()
    keeper.turn()
    later.do()
    records.change(instance, "stopped")
    keeper.turn()

    # when it is wanted before it has shut down
    records.change(instance, "running")
    keeper.turn()
    later.do()
    keeper.turn()
    later.do()

    assert host.machines[instance].state == "running"
    assert records.state(instance) == "running"


@pytest.mark.parametrize("status", [0, 1, 137])
def test_a_machine_that_ends_by_itself_terminates_its_instance(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost, status: int
) -> None:
    instance = records.launch()
    keeper.turn()

    host.end(instance, status)
    keeper.turn()
    assert records.state(instance) == "terminated"
    # what ran inside must not go on without a machine
    assert host.left == set()

    keeper.turn()
    assert host.machines == {}


def test_a_machine_that_somebody_removed_terminates_its_instance(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost
) -> None:
    instance = records.launch()
    keeper.turn()
    keeper.turn()

    host.remove(instance)
    keeper.turn()

    assert records.state(instance) == "terminated"
    assert host.boots[instance] == 1


def test_a_machine_that_ended_before_anybody_kept_it_is_taken_for_lost(
    records: MemoryRecords, host: MemoryHost, notices: Notices, clock: Clock
) -> None:
    instance = records.launch()
    keep(records, host, notices, clock, AtOnce()).turn()
    host.end(instance, 0)

    keep(records, host, notices, clock, AtOnce()).turn()

    assert records.state(instance) == "terminated"


def test_a_machine_that_a_killed_keeper_left_half_made_is_made_anew(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost
) -> None:
    instance = records.launch()
    host.machines[instance] = Machine(instance, "created")

    keeper.turn()

    assert host.machines[instance].state == "running"
    assert host.machines[instance].address  # where it asks for its metadata
    assert records.state(instance) == "running"


def test_a_half_made_machine_that_can_not_be_made_anew_at_once_is_no_lost_one(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = records.launch()
    host.machines[instance] = Machine(instance, "created")

    def busy(*_: str) -> None:
        raise HostError("the engine is busy")

    with monkeypatch.context() as patched:
        patched.setattr(host, "boot", busy)
        keeper.turn()
    assert host.machines == {}
    keeper.turn()

    assert host.machines[instance].state == "running"
    assert records.state(instance) == "running"


def test_an_instance_that_is_not_described_for_a_moment_keeps_its_machine(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost, clock: Clock
) -> None:
    instance = records.launch()
    keeper.turn()

    # given descriptions that lag, but not for long
    for _ in range(3):
        records.hidden.add(instance)
        keeper.turn()
        clock.now += 6
        records.hidden.clear()
        keeper.turn()
    assert host.machines[instance].state == "running"

    # when it is gone for good
    del records.instances[instance]
    keeper.turn()
    clock.now += 11
    keeper.turn()
    assert host.machines == {}


def test_nothing_changes_while_ec2_does_not_answer(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost, clock: Clock
) -> None:
    instance = records.launch()
    keeper.turn()

    records.down = True
    for _ in range(5):
        assert not keeper.turn()
        clock.now += 60

    assert host.machines[instance].state == "running"
    records.down = False
    assert keeper.turn()
    assert host.machines[instance].state == "running"


def test_an_engine_that_refuses_is_asked_again(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost
) -> None:
    instance = records.launch()
    host.refusing = TRIES - 1

    for _ in range(TRIES):
        keeper.turn()

    assert host.machines[instance].state == "running"
    assert records.state(instance) == "running"


def test_an_instance_that_the_engine_keeps_refusing_is_given_up(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost
) -> None:
    instance = records.launch()
    host.refusing = TRIES

    for _ in range(TRIES):
        keeper.turn()

    assert records.state(instance) == "terminated"


@pytest.mark.parametrize(
    "images", [{}, {AMI: "nobody-has-this"}], ids=["no image given", "no such image"]
)
def test_an_ami_without_an_image_fails_at_once(
    records: MemoryRecords,
    host: MemoryHost,
    notices: Notices,
    clock: Clock,
    images: dict[str, str],
) -> None:
    keeper = Keeper(records, host, images=images, notices=notices, workers=AtOnce(), clock=clock)
    instance = records.launch()

    keeper.turn()

    assert records.state(instance) == "terminated"
    assert host.machines == {}


def test_an_interrupted_instance_runs_until_its_time_has_come(
    keeper: Keeper, records: MemoryRecords, host: MemoryHost, notices: Notices, clock: Clock
) -> None:
    instance, other = records.launch(), records.launch()
    keeper.turn()
    notices.give(instance, 120)

    clock.now += 119
    keeper.turn()
    assert host.machines[instance].state == "running"

    clock.now += 2
    keeper.turn()
    assert records.state(instance) == "terminated"
    keeper.turn()
    assert set(host.machines) == {other}
    assert notices.of(instance) is None


def test_notices_of_instances_that_are_gone_are_forgotten(
    keeper: Keeper, records: MemoryRecords, notices: Notices
) -> None:
    instance = records.launch()
    keeper.turn()
    notices.give(instance, 120)

    records.terminate(instance)
    keeper.turn()
    del records.instances[instance]
    keeper.turn()
    keeper.turn()

    assert notices.of(instance) is None


@pytest.mark.parametrize("name", ["", "i-1", "../../etc/passwd", "i-0123456789ABCDEF0"])
def test_a_notice_needs_an_instances_id(notices: Notices, name: str) -> None:
    with pytest.raises(ValueError, match="expected an instance's id"):
        notices.give(name, 1)
