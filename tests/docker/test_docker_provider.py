"""What only containers do; what every provider does is in unit/scaler/test_providers.py."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container
from structlog.testing import capture_logs

import docker_engine
from conditions import skip_or_fail
from imagefleet_scaler.providers.base import Provider, ProviderError
from imagefleet_scaler.providers.container_spec import FLEET_LABEL, WORKER_LABEL
from system import wait_for

pytestmark = pytest.mark.docker

SOON_S = 60
REGISTRY = "registry:2"
REGISTRY_CONFIG = """
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
"""
READY = "ready"
IGNORE = f"import signal as s; s.signal(15, s.SIG_IGN); print('{READY}', flush=True); s.pause()"
STUBBORN = f'python -c "{IGNORE}"'


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with closing(docker_engine.require_engine()) as client:
        yield client


@pytest.fixture
def fleet(engine: docker.DockerClient) -> Iterator[str]:
    """A fleet that no other test run has, removed in the end."""
    name = f"test-{uuid4().hex[:8]}"
    yield name
    docker_engine.remove_fleet(engine, name)


@pytest.fixture
def registry(engine: docker.DockerClient, fleet: str, tmp_path: Path) -> Iterator[str]:
    """The address of an empty registry of this engine's own."""
    try:
        engine.images.get(REGISTRY)
    except ImageNotFound:
        skip_or_fail("DOCKER", f"no Docker image is called {REGISTRY}")
    # Some builds of that image ask for a password.
    (tmp_path / "registry.yml").write_text(REGISTRY_CONFIG)
    container = engine.containers.run(
        REGISTRY,
        detach=True,
        name=f"{fleet}-registry",
        ports={"5000/tcp": ("127.0.0.1", 0)},
        volumes=[f"{tmp_path}/registry.yml:/etc/docker/registry/config.yml:ro"],
    )
    try:

        def listens() -> bool:
            container.reload()
            return bool(container.ports.get("5000/tcp")) and b"listening on" in container.logs()

        wait_for(listens, SOON_S)
        (port, *_) = container.ports["5000/tcp"] or []
        address = f"localhost:{port['HostPort']}"
        yield address
        for image in engine.images.list():
            for tag in image.tags:
                if tag.startswith(address):
                    engine.images.remove(tag, force=True)
    finally:
        container.remove(force=True, v=True)


def containers(engine: docker.DockerClient, fleet: str) -> list[Container]:
    """Return a fleet's containers in whatever state."""
    return engine.containers.list(all=True, filters={"label": f"{FLEET_LABEL}={fleet}"})


def sweep_until_gone_from(provider: Provider, worker: str) -> None:
    def gone() -> bool:
        provider.sweep()
        return worker not in {each.id for each in provider.list()}

    wait_for(gone, SOON_S)


def sweep_until_gone(provider: Provider, engine: docker.DockerClient, fleet: str) -> None:
    def gone() -> bool:
        provider.sweep()
        return not containers(engine, fleet)

    wait_for(gone, SOON_S)


def test_a_worker_may_do_as_little_as_possible(engine: docker.DockerClient, fleet: str) -> None:
    (worker,) = docker_engine.provider(engine, fleet).launch(1)

    (container,) = containers(engine, fleet)
    host, config = container.attrs["HostConfig"], container.attrs["Config"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Init"]
    assert not host["Privileged"]
    assert host["Memory"] == 64 * 1024 * 1024
    assert host["NanoCpus"] == 500_000_000
    assert config["StopSignal"] == "SIGTERM"
    assert {f"IMAGEFLEET_WORKER_ID={worker}", f"IMAGEFLEET_PREFIX={fleet}"} <= set(config["Env"])
    assert config["Labels"][WORKER_LABEL] == worker
    assert container.name == f"{fleet}-{worker}"


def test_the_last_words_of_a_worker_that_died_are_kept(
    engine: docker.DockerClient, fleet: str
) -> None:
    provider = docker_engine.provider(engine, fleet, command="python -c 'exit(\"out of film\")'")

    with capture_logs() as logged:
        (worker,) = provider.launch(1)
        sweep_until_gone(provider, engine, fleet)

    (entry,) = logged
    assert entry["worker"] == worker
    assert entry["how"] == "with exit code 1"
    assert entry["last_lines"] == "out of film"


def test_the_last_words_of_a_worker_are_told_alive_or_dead(
    engine: docker.DockerClient, fleet: str
) -> None:
    talks = "print('\\x1b[31mno model', flush=True); import time; time.sleep(600)"
    alive = docker_engine.provider(engine, fleet, command=f'python -c "{talks}"')
    dead = docker_engine.provider(engine, fleet, command="python -c 'exit(\"out of film\")'")
    (talking,) = alive.launch(1)
    (dying,) = dead.launch(1)

    wait_for(lambda: alive.last_words([talking]), SOON_S)
    sweep_until_gone_from(dead, dying)

    assert alive.last_words([talking, "worker-nobody"]) == {talking: "no model"}
    assert dead.last_words([dying]) == {dying: "out of film"}


def test_a_missing_image_is_pulled_beside_the_loop(
    engine: docker.DockerClient, fleet: str, registry: str
) -> None:
    image = f"{registry}/{fleet}:1"
    engine.images.get(docker_engine.IMAGE).tag(image)
    engine.images.push(image)
    engine.images.remove(image)
    provider = docker_engine.provider(engine, fleet, image=image, pull=True)

    with capture_logs() as logged:
        assert provider.launch(1) == []
        wait_for(lambda: provider.launch(1), SOON_S)

    events = [entry["event"] for entry in logged]
    assert events[0] == "the workers' image is being pulled"
    assert events[-1] == "the workers' image is here"
    assert len(provider.list()) == 1


def test_an_image_that_cannot_be_pulled_is_one_clear_line(
    engine: docker.DockerClient, fleet: str, registry: str
) -> None:
    provider = docker_engine.provider(engine, fleet, image=f"{registry}/nobody:1", pull=True)
    refusals: list[str] = []

    def refused() -> bool:
        try:
            provider.launch(1)
        except ProviderError as error:
            refusals.append(str(error))
        return bool(refusals)

    with capture_logs():
        wait_for(refused, SOON_S)

    assert re.fullmatch(
        "the image .*/nobody:1 can't be pulled: .*: check IMAGEFLEET_WORKER_IMAGE, or build it",
        refusals[0],
    )


def test_a_worker_that_takes_too_much_memory_is_said_to_have(
    engine: docker.DockerClient, fleet: str
) -> None:
    provider = docker_engine.provider(
        engine, fleet, command="python -c 'b\"x\" * 2**30'", memory_mb=32
    )

    with capture_logs() as logged:
        provider.launch(1)
        sweep_until_gone(provider, engine, fleet)

    assert [entry["how"] for entry in logged] == ["out of memory"]


def test_a_worker_that_ignores_its_retirement_is_killed_after_the_grace(
    engine: docker.DockerClient, fleet: str
) -> None:
    provider = docker_engine.provider(engine, fleet, command=STUBBORN, retire_grace_s=0)
    (worker,) = provider.launch(1)
    (container,) = containers(engine, fleet)
    wait_for(lambda: READY.encode() in container.logs(), SOON_S)

    provider.retire([worker])
    container.reload()
    assert container.status == "running"

    sweep_until_gone(provider, engine, fleet)


def test_a_container_whose_scaler_died_before_starting_it_is_removed(
    engine: docker.DockerClient, fleet: str
) -> None:
    provider = docker_engine.provider(engine, fleet)
    provider.launch(1)
    (started,) = containers(engine, fleet)
    unborn = {**started.labels, WORKER_LABEL: "worker-unborn"}
    engine.containers.create(docker_engine.IMAGE, labels=unborn)

    assert len(provider.list()) == 1
    provider.sweep()

    assert [container.id for container in containers(engine, fleet)] == [started.id]


def test_a_launch_that_a_stop_overtakes_is_taken_back(
    engine: docker.DockerClient, fleet: str
) -> None:
    provider = docker_engine.provider(
        engine, fleet, stopping=lambda: len(containers(engine, fleet)) == 2
    )

    assert provider.launch(5) == []

    assert containers(engine, fleet) == []


def test_a_missing_image_is_one_clear_line(engine: docker.DockerClient, fleet: str) -> None:
    provider = docker_engine.provider(engine, fleet, image="imagefleet-no-such-image:1")

    with pytest.raises(ProviderError, match="no Docker image is called imagefleet-no-such-image:1"):
        provider.launch(1)


def test_a_missing_network_is_one_clear_line(engine: docker.DockerClient, fleet: str) -> None:
    provider = docker_engine.provider(engine, fleet, network="imagefleet-no-such-network")

    with pytest.raises(ProviderError, match="no Docker network is called imagefleet-no-such-net"):
        provider.launch(1)


def test_a_worker_that_cannot_be_started_leaves_nothing_behind(
    engine: docker.DockerClient, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(container: Container) -> None:
        raise APIError("refused", explanation="no space left on device")

    monkeypatch.setattr(Container, "start", refuse)

    with pytest.raises(ProviderError, match="starting a worker: Docker answers: no space left"):
        docker_engine.provider(engine, fleet).launch(1)

    assert containers(engine, fleet) == []


COMPOSE = f"""
services:
  scaler:
    image: {docker_engine.IMAGE}
    command: sleep 600
    init: true
    depends_on: [worker]
  worker:
    image: {docker_engine.IMAGE}
    scale: 0
"""


@pytest.fixture
def project(tmp_path: Path, fleet: str) -> Iterator[str]:
    """A compose project that is up: a service `scaler`, and `worker` at scale 0."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    compose(tmp_path, fleet, "up", "--detach")
    yield fleet
    compose(tmp_path, fleet, "down", "--timeout", "0")


def compose(folder: Path, project: str, *arguments: str) -> str:
    command = ["docker", "compose", "--project-name", project, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_compose_takes_the_workers_down_though_the_scaler_was_killed(
    engine: docker.DockerClient, project: str, tmp_path: Path
) -> None:
    provider = docker_engine.provider(
        engine, project, network=f"{project}_default", compose_project=project
    )
    provider.launch(3)
    compose(tmp_path, project, "kill", "--signal", "KILL", "scaler")

    compose(tmp_path, project, "down")

    assert containers(engine, project) == []
    assert engine.networks.list(names=[f"{project}_default"]) == []


def test_compose_knows_the_workers_as_its_own(
    engine: docker.DockerClient, project: str, tmp_path: Path
) -> None:
    provider = docker_engine.provider(
        engine, project, network=f"{project}_default", compose_project=project
    )
    (worker,) = provider.launch(1)

    listed = compose(tmp_path, project, "ps", "--format", "{{.Service}} {{.Name}}")

    assert f"worker {project}-{worker}" in listed.splitlines()


def test_bringing_the_system_up_again_ends_the_workers_and_the_scaler_goes_on(
    engine: docker.DockerClient, project: str, tmp_path: Path
) -> None:
    provider = docker_engine.provider(
        engine, project, network=f"{project}_default", compose_project=project
    )
    provider.launch(2)

    said = compose(tmp_path, project, "up", "--detach")
    (worker,) = provider.launch(1)

    assert "warning" not in said
    assert [instance.id for instance in provider.list()] == [worker]
