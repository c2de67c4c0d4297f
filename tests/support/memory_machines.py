"""Small working versions of what machines are made with: an EC2, an engine, credentials."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any

from imagefleet_machines.host import HostError, Machine, NoSuchImage
from imagefleet_machines.records import Record, RecordsError, Template

AMI = "ami-0ba4ed00000000001"
IMAGE = "machine:test"


@dataclass
class MemoryRecords:
    """EC2's records; `down` makes it refuse, `hidden` are not described although they are there."""

    instances: dict[str, Record] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    down: bool = False
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def launch(self, image_id: str = AMI, **known: Any) -> str:
        """Launch an instance and return its id."""
        instance = f"i-{next(self._numbers):017x}"
        self.instances[instance] = Record(
            id=instance, state="running", image_id=image_id, **{"tags": {}, **known}
        )
        return instance

    def change(self, instance: str, state: str) -> None:
        """Put an instance into another state, as its owner asked."""
        self.instances[instance] = replace(self.instances[instance], state=state)

    def state(self, instance: str) -> str:
        """Return an instance's state."""
        return self.instances[instance].state

    def list(self) -> Sequence[Record]:
        """Return what is described."""
        if self.down:
            raise RecordsError("nobody answers")
        return [each for each in self.instances.values() if each.id not in self.hidden]

    def terminate(self, instance: str) -> None:
        """Terminate an instance."""
        if self.down:
            raise RecordsError("nobody answers")
        if instance in self.instances:
            self.change(instance, "terminated")

    def template(self, version: str) -> Template:
        """Return a version of the launch template."""
        if version not in self.templates:
            raise RecordsError(f"no version {version}")
        return self.templates[version]


@dataclass
class MemoryHost:
    """An engine with one image; `refusing` makes it refuse the next so many calls.

    Attributes:
        boots: how often each machine was made, and started.
        left: what ran inside of machines.
        connected: those that are on the metadata network.
    """

    machines: dict[str, Machine] = field(default_factory=dict)
    boots: dict[str, int] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    connected: set[str] = field(default_factory=set)
    refusing: int = 0
    _numbers: Any = field(default_factory=lambda: itertools.count(2))

    def list(self) -> Sequence[Machine]:
        """Return the machines that are there."""
        return list(self.machines.values())

    def boot(self, instance: str, image: str) -> None:
        """Make a machine and start it."""
        self._refuse()
        if image != IMAGE:
            raise NoSuchImage(f"there is no image {image}")
        if instance in self.machines:
            raise HostError(f"{instance} is there already")
        self.machines[instance] = Machine(instance, "created")
        self.connected.add(instance)
        self.start(instance)

    def start(self, instance: str) -> None:
        """Start one that is there."""
        self._refuse()
        self.boots[instance] = self.boots.get(instance, 0) + 1
        self.left.add(instance)
        address = f"169.254.169.{next(self._numbers)}" if instance in self.connected else ""
        self.machines[instance] = Machine(instance, "running", address=address)

    def stop(self, instance: str, *, within_s: int) -> None:
        """Shut one down, in good order."""
        assert within_s > 0
        self._refuse()
        self.end(instance, 0)
        self.left.discard(instance)

    def end(self, instance: str, status: int) -> None:
        """Let one end by itself, or by somebody else's hand; what ran inside stays."""
        if instance in self.machines:
            self.machines[instance] = Machine(instance, "ended", status)

    def kill(self, instance: str) -> None:
        """Pull its plug."""
        self.end(instance, 137)
        self.left.discard(instance)

    def clear(self, instance: str) -> None:
        """Remove what ran inside of it."""
        self.left.discard(instance)

    def remove(self, instance: str) -> None:
        """Remove it."""
        self._refuse()
        self.machines.pop(instance, None)
        self.connected.discard(instance)
        self.left.discard(instance)

    def last_words(self, instance: str) -> str:
        """Return nothing."""
        return ""

    def _refuse(self) -> None:
        if self.refusing > 0:
            self.refusing -= 1
            raise HostError("the engine is busy")


class MemoryCredentials:
    """One role, whose credentials are its profile's and its instance's names."""

    def role(self, profile_arn: str) -> str:
        """Return the role's name."""
        return f"role-of-{profile_arn}"

    def document(self, profile_arn: str, instance: str) -> str:
        """Return its credentials."""
        return f"{profile_arn} for {instance}"


class AtOnce(Executor):
    """Does everything before it says that it has begun."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Later(Executor):
    """Does what it was asked for when told to."""

    def __init__(self) -> None:
        self._asked: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Note a call."""
        self._asked.append((Future(), fn, args))
        return self._asked[-1][0]

    def do(self) -> int:
        """Do all that was noted; return how much that was."""
        asked, self._asked = self._asked, []
        for future, work, args in asked:
            future.set_result(work(*args))
        return len(asked)
