"""Workers as containers of the Docker engine at hand, found again by their labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import docker
import requests
import structlog
from docker.errors import DockerException, ImageNotFound, NotFound

from imagefleet_scaler.providers.base import (
    WORKER_ID,
    Instance,
    InstanceState,
    ProviderError,
    new_worker_id,
)
from imagefleet_scaler.providers.container_spec import WORKER_LABEL, ContainerSpec
from imagefleet_scaler.providers.engine import explained, kill, remove, say_ended

if TYPE_CHECKING:
    from docker.models.containers import Container

# `create` and `start` are two calls: a container in between belongs to a scaler that died there.
_ENDED = {"created", "exited", "dead"}
_GOING = {"removing"}

log = structlog.get_logger()


class DockerProvider:
    """Starts workers as containers that may do as little as possible.

    Args:
        engine: from `engine.connect`.
        spec: what each container is like.
        retire_grace_s: seconds a retired worker may take before it is killed.
        stopping: whether the scaler is about to end.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        engine: docker.DockerClient,
        spec: ContainerSpec,
        *,
        retire_grace_s: float,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._retire_grace_s = retire_grace_s
        self._stopping = stopping
        self._clock = clock
        self._kill_at: dict[str, float] = {}

    def list(self) -> Sequence[Instance]:
        """Return the workers that run."""
        return [
            Instance(
                worker,
                InstanceState.STOPPING if worker in self._kill_at else InstanceState.RUNNING,
                container.attrs["Created"],
            )
            for worker, container in self._containers()
            if container.status not in _ENDED | _GOING
        ]

    def launch(self, count: int) -> Sequence[str]:
        """Start `count` containers one by one; half way through a stop, take them back.

        `docker compose down` removes only the containers it saw at its start.
        """
        started: dict[str, Container] = {}
        with explained("starting a worker"):
            if count:
                self._require_network()
            while len(started) < count and not self._stopping():
                worker = new_worker_id()
                started[worker] = self._start(worker)
            if self._stopping():
                for container in started.values():
                    remove(container)
                return []
        return list(started)

    def retire(self, ids: Collection[str]) -> None:
        """Send SIGTERM, on which a worker drains."""
        if not ids:
            return
        for worker, container in self._containers():
            if worker in ids and container.status == "running":
                kill(container, "SIGTERM")
                self._kill_at.setdefault(worker, self._clock() + self._retire_grace_s)

    def last_words(self, ids: Collection[str]) -> Mapping[str, str]:  # noqa: ARG002
        """Return nothing."""
        return {}

    def sweep(self) -> None:
        """Remove containers that have ended and kill those that should have."""
        containers = dict(self._containers())
        self._kill_at = {each: at for each, at in self._kill_at.items() if each in containers}
        for worker, container in containers.items():
            if container.status in _ENDED:
                say_ended(worker, container)
                remove(container)
            elif self._clock() >= self._kill_at.get(worker, float("inf")):
                log.warning("a worker did not go and is killed", worker=worker)
                kill(container, "SIGKILL")

    def _containers(self) -> Iterator[tuple[str, Container]]:
        """Yield the id and container of each of this fleet's workers, ended ones included."""
        marks = [f"{label}={value}" for label, value in self._spec.labels.items()]
        with explained("listing the workers"):
            # Sparse: one call in all instead of one more for each container.
            found = self._engine.containers.list(all=True, sparse=True, filters={"label": marks})
        for container in found:
            yield container.attrs["Labels"].get(WORKER_LABEL, container.short_id), container

    def _require_network(self) -> None:
        try:
            self._engine.networks.get(self._spec.network)
        except NotFound as error:
            raise ProviderError(
                f"no Docker network is called {self._spec.network}: check "
                "IMAGEFLEET_DOCKER_NETWORK against `docker network ls`"
            ) from error

    def _start(self, worker: str) -> Container:
        spec = self._spec
        try:
            container = self._engine.containers.create(
                spec.image,
                spec.command,
                name=f"{spec.compose_project or spec.fleet}-{worker}",
                hostname=worker,
                labels={**spec.labels, **spec.compose_labels, WORKER_LABEL: worker},
                environment={**spec.environment, WORKER_ID: worker},
                network=spec.network,
                init=True,
                stop_signal="SIGTERM",
                read_only=True,
                tmpfs={"/tmp": "size=64m"},  # noqa: S108  # a file system of its own
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit=spec.memory_mb * 1024 * 1024,
                nano_cpus=round(spec.cpus * 1e9),
            )
        except ImageNotFound as error:
            raise ProviderError(
                f"no Docker image is called {spec.image}: build it, or name another one in "
                "IMAGEFLEET_WORKER_IMAGE"
            ) from error
        try:
            container.start()
        except (DockerException, requests.RequestException):
            remove(container)
            raise
        return container
