"""A worker's way from its launch to the first result that it stores, as a process or container."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.container_spec import FLEET_LABEL, ContainerSpec
from imagefleet_scaler.providers.docker import DockerProvider
from imagefleet_scripts.bench.kit import photographs, tested
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.place import Place

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

FIRST_RESULT_S = 60
LOOK_S = 0.02
# What a worker says when it has all it needs.
READY = "the worker is ready"


@dataclass(frozen=True)
class Start:
    """Seconds from the launch to the first stored result, and what they went into.

    Attributes:
        total_s: by the clock of S3.
        engine_s: until the worker's process was there, with whoever launches it.
        python_s: from then until it began to look for AWS: interpreter, settings, imports. The
            process that runs the network is started before most of them and loads it meanwhile.
        loading_s: from then until it was ready: decoders, AWS, and what was left of the network.
        image_s: from then to the first stored result.
    """

    total_s: float
    engine_s: float
    python_s: float
    loading_s: float
    image_s: float


def start_of(launched: float, began: float, stored: float, log: str) -> Start:
    """Return how a start went; times in seconds since the epoch.

    Args:
        began: when the worker's process began.
        log: what it said, a JSON object a line.

    Raises:
        BenchError: it never said that it was ready.
    """
    said = {line["event"]: line for line in _lines(log)}
    if READY not in said:
        raise BenchError(f"the worker never said {READY!r}; its log ends with {log[-300:]!r}")
    ready = datetime.fromisoformat(said[READY]["time"]).timestamp()
    loading_s = float(said[READY]["after_s"])
    return Start(
        total_s=stored - launched,
        engine_s=began - launched,
        python_s=ready - loading_s - began,
        loading_s=loading_s,
        image_s=stored - ready,
    )


def process_start(folder: Path) -> Start:
    """Start a worker as a process, with one image waiting for it."""
    place, log = _place(), folder / "worker.log"
    environment = {**_environment(place), "IMAGEFLEET_HEARTBEAT_FILE": str(folder / "alive")}
    launched = time.time()
    module = "imagefleet_worker"
    with tested.running(None, module, environment=environment, log=log):
        began = time.time()
        stored = _first_result(place)
    return start_of(launched, began, stored, log.read_text())


def container_start(engine: docker.DockerClient, image: str, network: str, endpoint: str) -> Start:
    """Start a worker as the scaler starts containers, with one image waiting for it.

    Args:
        endpoint: where the container finds AWS.
    """
    place = _place()
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    spec = ContainerSpec(
        image=image,
        fleet=place.settings.prefix,
        network=network,
        environment={**aws, **_environment(place), "AWS_ENDPOINT_URL": endpoint},
    )
    provider = DockerProvider(engine, spec, retire_grace_s=0, stopping=lambda: False)
    with _removed(engine, spec.fleet), _explained():
        launched = time.time()
        provider.launch(1)
        stored = _first_result(place)
        (container,) = _containers(engine, spec.fleet)
        began = datetime.fromisoformat(container.attrs["State"]["StartedAt"]).timestamp()
        return start_of(launched, began, stored, container.logs().decode(errors="replace"))


def _place() -> Place:
    place = Place()
    place.submit(photographs.samples()[:1])
    return place


def _first_result(place: Place) -> float:
    (stored,) = place.await_results(FIRST_RESULT_S, alive=lambda: True, look_s=LOOK_S)
    place.require_right()
    return stored.at


def _environment(place: Place) -> dict[str, str]:
    return {"IMAGEFLEET_PREFIX": place.settings.prefix, "IMAGEFLEET_LOG_FORMAT": "json"}


def _lines(log: str) -> Iterator[Mapping[str, Any]]:
    for line in log.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


@contextmanager
def _removed(engine: docker.DockerClient, fleet: str) -> Iterator[None]:
    """Remove a fleet's containers in the end, whatever became of them."""
    try:
        yield
    finally:
        for container in _containers(engine, fleet):
            container.remove(force=True)


def _containers(engine: docker.DockerClient, fleet: str) -> list[Container]:
    return engine.containers.list(all=True, filters={"label": f"{FLEET_LABEL}={fleet}"})


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ProviderError as error:
        raise BenchError(str(error)) from error
