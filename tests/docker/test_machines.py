"""What the machines' keeper asks of an engine, of the one in memory and of a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from docker_engine import IMAGE, require_engine
from imagefleet_machines.container import COMPOSE_PROJECT, INSIDE_LABEL, MachineSpec
from imagefleet_machines.docker_host import DockerHost
from imagefleet_machines.host import Host, HostError, Machine, NoSuchImage
from memory_machines import IMAGE as MEMORY_IMAGE
from memory_machines import MemoryHost


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeping(MachineSpec):
    """Machines that do nothing but wait for SIGTERM."""

    def options(self, instance: str) -> dict[str, Any]:
        """Return the usual, with a command."""
        usual = MachineSpec.options(self, instance)
        return {**usual, "command": "sleep 600", "init": True}


@dataclass(frozen=True)
class Place:
    """An engine, its image, and what runs inside of a machine there."""

    host: Host
    image: str
    run_inside: Callable[[str], None]
    inside: Callable[[], set[str]]


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.docker)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An engine with no machine of ours."""
    if request.param == "memory":
        memory = MemoryHost()
        yield Place(memory, MEMORY_IMAGE, memory.left.add, lambda: set(memory.left))
        return
    project = f"machines-{uuid4().hex[:8]}"
    with closing(require_engine()) as engine:
        ours: dict[str, Any] = {"label": f"{COMPOSE_PROJECT}={project}"}

        def run_inside(instance: str) -> None:
            labels = {INSIDE_LABEL: instance, COMPOSE_PROJECT: project}
            engine.containers.run(IMAGE, "sleep 600", init=True, labels=labels, detach=True)

        def inside() -> set[str]:
            found = engine.containers.list(filters=ours, ignore_removed=True)
            return {each.labels[INSIDE_LABEL] for each in found if INSIDE_LABEL in each.labels}

        spec = Sleeping(network="bridge", compose_project=project)
        yield Place(DockerHost(engine, spec), IMAGE, run_inside, inside)
        for container in engine.containers.list(all=True, filters=ours):
            container.remove(force=True)


def instance_id() -> str:
    return f"i-{uuid4().hex[:17]}"


def states(place: Place) -> dict[str, Machine]:
    return {each.id: each for each in place.host.list()}


def test_a_machine_that_boots_is_listed_until_it_is_removed(place: Place) -> None:
    instance = instance_id()

    place.host.boot(instance, place.image)
    assert states(place)[instance].state == "running"
    place.host.remove(instance)

    assert states(place) == {}


def test_a_machine_that_was_stopped_starts_again(place: Place) -> None:
    instance = instance_id()
    place.host.boot(instance, place.image)
    place.run_inside(instance)

    place.host.stop(instance, within_s=5)
    assert states(place)[instance].state == "ended"
    assert place.inside() == set()
    place.host.start(instance)

    assert states(place)[instance].state == "running"


def test_what_ran_inside_goes_with_a_machine_that_is_killed(place: Place) -> None:
    killed, alive = instance_id(), instance_id()
    for each in (killed, alive):
        place.host.boot(each, place.image)
        place.run_inside(each)

    place.host.kill(killed)

    assert states(place)[killed] == Machine(killed, "ended", 137)
    assert states(place)[alive].state == "running"
    assert place.inside() == {alive}


def test_no_image_is_told_apart_from_what_may_pass(place: Place) -> None:
    instance = instance_id()
    with pytest.raises(NoSuchImage):
        place.host.boot(instance, "imagefleet-no-such-image:none")
    place.host.boot(instance, place.image)

    with pytest.raises(HostError):
        place.host.boot(instance, place.image)


def test_what_is_gone_already_is_no_error(place: Place) -> None:
    nobody = instance_id()

    place.host.stop(nobody, within_s=1)
    place.host.kill(nobody)
    place.host.clear(nobody)
    place.host.remove(nobody)

    assert place.host.last_words(nobody) == ""
    assert states(place) == {}
