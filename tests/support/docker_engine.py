"""A Docker engine for tests of the provider, and containers that stand in for workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import docker

from conditions import skip_or_fail
from imagefleet_scaler.providers.container_spec import FLEET_LABEL, ContainerSpec
from imagefleet_scaler.providers.docker import DockerProvider

IMAGE = os.environ.get("PYTHON_IMAGE", "python:3.13-slim-trixie")


def require_engine() -> docker.DockerClient:
    """Return a client of the engine here; skip the test where there is none."""
    if not _engine_answers():
        skip_or_fail("DOCKER", f"no Docker engine with the image {IMAGE} answers")
    return docker.from_env(timeout=20)


@cache
def _engine_answers() -> bool:
    """Ask in a process of its own: the SDK leaves sockets open where nobody answers."""
    ask = "import docker, sys; docker.from_env(timeout=20).images.get(sys.argv[1])"
    return not subprocess.run(
        [sys.executable, "-c", ask, IMAGE], stderr=subprocess.DEVNULL, check=False
    ).returncode


def provider(
    engine: docker.DockerClient,
    fleet: str,
    *,
    command: str = "sleep 600",
    image: str = IMAGE,
    network: str = "bridge",
    compose_project: str = "",
    stopping: Callable[[], bool] = lambda: False,
    retire_grace_s: float = 60,
    memory_mb: int = 64,
    pull: bool = False,
) -> DockerProvider:
    """Return a provider whose workers do nothing but wait for SIGTERM."""
    spec = ContainerSpec(
        image=image,
        fleet=fleet,
        network=network,
        environment={"IMAGEFLEET_PREFIX": fleet},
        memory_mb=memory_mb,
        cpus=0.5,
        compose_project=compose_project,
        command=command,
    )
    return DockerProvider(engine, spec, retire_grace_s=retire_grace_s, stopping=stopping, pull=pull)


def remove_fleet(engine: docker.DockerClient, fleet: str) -> None:
    """Remove all containers of a fleet, whatever became of them."""
    for container in engine.containers.list(all=True, filters={"label": f"{FLEET_LABEL}={fleet}"}):
        container.remove(force=True)
