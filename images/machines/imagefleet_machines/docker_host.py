"""The containers that are machines, in a Docker engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from imagefleet_machines.container import (
    COMPOSE_PROJECT,
    INSIDE_LABEL,
    MACHINE_LABEL,
    MachineSpec,
)
from imagefleet_machines.host import HostError, Machine, NoSuchImage, State

LAST_LINES = 15
ENGINE_TIMEOUT_S = 30


class DockerHost:
    """Machines as containers of an engine, named by their instances' ids.

    Args:
        engine: reached with time-outs longer than the longest shutdown.
        spec: what every machine is like.
    """

    def __init__(self, engine: docker.DockerClient, spec: MachineSpec) -> None:
        self._engine = engine
        self._spec = spec

    def list(self) -> Sequence[Machine]:
        """Return the machines that are there."""
        with _explained("listing machines"):
            # The engine's list has all that is needed; looking into each takes a call more.
            found = self._engine.api.containers(
                all=True, filters={"label": [MACHINE_LABEL, self._ours()]}
            )
        return [self._machine(each) for each in found]

    def boot(self, instance: str, image: str) -> None:
        """Make a machine and start it."""
        with _explained(f"booting {instance}"):
            try:
                container = self._engine.containers.create(image, **self._spec.options(instance))
            except ImageNotFound as error:
                raise NoSuchImage(f"there is no image {image}") from error
            try:
                if self._spec.metadata_network:
                    self._engine.networks.get(self._spec.metadata_network).connect(container)
                container.start()
            except (DockerException, requests.RequestException):
                # Half made it would boot without its metadata at the next try.
                container.remove(force=True)
                raise

    def start(self, instance: str) -> None:
        """Start one that is there."""
        with _explained(f"starting {instance}"):
            self._engine.containers.get(instance).start()

    def stop(self, instance: str, *, within_s: int) -> None:
        """Shut one down and return when it is."""
        with _explained(f"stopping {instance}"), _unless_gone():
            self._engine.containers.get(instance).stop(timeout=within_s)
        self.clear(instance)

    def kill(self, instance: str) -> None:
        """Pull its plug."""
        with _explained(f"killing {instance}"), _unless_gone():
            self._engine.containers.get(instance).kill("SIGKILL")
        self.clear(instance)

    def clear(self, instance: str) -> None:
        """Remove what ran inside of it."""
        with _explained(f"clearing {instance}"):
            inside = self._engine.containers.list(
                all=True,
                filters={"label": [f"{INSIDE_LABEL}={instance}", self._ours()]},
                ignore_removed=True,
            )
            for container in inside:
                with _unless_gone():
                    container.remove(force=True, v=True)

    def remove(self, instance: str) -> None:
        """Remove it and what ran inside of it."""
        with _explained(f"removing {instance}"), _unless_gone():
            self._engine.containers.get(instance).remove(force=True, v=True)
        self.clear(instance)

    def last_words(self, instance: str) -> str:
        """Return the end of its console."""
        said = b""
        with _explained(f"reading the console of {instance}"), _unless_gone():
            said = self._engine.containers.get(instance).logs(tail=LAST_LINES)
        return said.decode(errors="replace").strip()

    def _ours(self) -> str:
        return f"{COMPOSE_PROJECT}={self._spec.compose_project}"

    def _machine(self, found: Mapping[str, Any]) -> Machine:
        networks = found.get("NetworkSettings", {}).get("Networks", {})
        state: State = _STATES.get(found["State"], "ended")
        return Machine(
            id=found["Labels"][MACHINE_LABEL],
            state=state,
            status=_exit_status(found.get("Status", "")) if state == "ended" else 0,
            address=networks.get(self._spec.metadata_network, {}).get("IPAddress", ""),
        )


_STATES: Mapping[str, State] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "running",
}


def _exit_status(said: str) -> int:
    """Read "Exited (137) 5 seconds ago"."""
    number = said.partition("(")[2].partition(")")[0]
    return int(number) if number.isdigit() else 0


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn whatever the engine's client raises inside into one `HostError`."""
    try:
        yield
    except APIError as error:
        raise HostError(f"{doing}: Docker answers: {error.explanation}") from error
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"{doing}: the Docker engine does not answer: {error}") from error


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Let it be if a container has ended or gone meanwhile."""
    try:
        yield
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:
            raise
