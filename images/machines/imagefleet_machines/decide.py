"""What has to be done so that containers and records agree: a function of what is seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imagefleet_machines.host import Machine
from imagefleet_machines.records import COMING, GOING, RESTING, Record

# EC2 may not describe an instance for a moment, although it is there.
MISSING_S = 10.0

# boot: make a container of the record's image; remake: the same in place of one that was only half
# made; start and stop: the one that is there; end: the record, as its machine has ended by itself;
# remove: the container and what ran in it.
Verb: TypeAlias = Literal["boot", "remake", "start", "stop", "end", "remove"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do about one instance, and why."""

    verb: Verb
    instance: str
    why: str


@dataclass(slots=True)
class Memory:
    """What can't be seen; a keeper that starts anew takes rested machines for ended ones.

    Attributes:
        booted: instances whose containers have been seen, and had been started.
        rested: those that were told to stop, so that their end is nobody's loss.
        missing_since: when EC2 first didn't describe one whose container is there.
    """

    booted: set[str] = field(default_factory=set)
    rested: set[str] = field(default_factory=set)
    missing_since: dict[str, float] = field(default_factory=dict)


def decide(
    records: Mapping[str, Record],
    machines: Mapping[str, Machine],
    memory: Memory,
    now: float,
    busy: Collection[str] = (),
) -> Iterator[Action]:
    """Tell what is to be done, and note in `memory` what was seen.

    Args:
        records: of EC2, by the instances' ids.
        machines: the containers, likewise.
        now: seconds that only go forward.
        busy: instances about which something is being done; they are left alone.
    """
    memory.booted |= {each.id for each in machines.values() if each.state != "created"}
    for instance in (records.keys() | machines.keys()) - set(busy):
        record, machine = records.get(instance), machines.get(instance)
        if record is None:
            action = _unknown(instance, memory, now)
        else:
            memory.missing_since.pop(instance, None)
            action = _known(record, machine, memory)
        if action:
            yield action
    _forget(records, machines, memory)


def _known(record: Record, machine: Machine | None, memory: Memory) -> Action | None:
    if record.state in GOING:
        return Action("remove", record.id, f"it is {record.state}") if machine else None
    if record.state in RESTING:
        memory.rested.add(record.id)
        return Action("stop", record.id, f"it is {record.state}") if _runs(machine) else None
    return _running(record, machine, memory) if record.state in COMING else None


def _running(record: Record, machine: Machine | None, memory: Memory) -> Action | None:
    if machine is None:
        if record.id in memory.booted and record.id not in memory.rested:
            return Action("end", record.id, "its container is gone")
        return Action("boot", record.id, f"it is {record.state}")
    if machine.state == "running":
        memory.rested.discard(record.id)
        return None
    if machine.state == "created":
        # A keeper was killed while it made it: nobody knows whether it has its metadata.
        return Action("remake", record.id, "it was only half made")
    if record.id in memory.rested:
        return Action("start", record.id, f"it is {record.state}")
    return Action("end", record.id, f"it ended by itself, with status {machine.status}")


def _unknown(instance: str, memory: Memory, now: float) -> Action | None:
    since = memory.missing_since.setdefault(instance, now)
    return Action("remove", instance, "EC2 has no record") if now - since >= MISSING_S else None


def _runs(machine: Machine | None) -> bool:
    return machine is not None and machine.state == "running"


def _forget(records: Mapping[str, Record], machines: Mapping[str, Machine], memory: Memory) -> None:
    memory.booted &= records.keys() | machines.keys()
    memory.rested &= records.keys() | machines.keys()
    for instance in memory.missing_since.keys() - machines.keys():
        del memory.missing_since[instance]
