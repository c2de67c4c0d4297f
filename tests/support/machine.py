"""A machine of images/ami as a container, with a stand-in for EC2's metadata beside it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import docker
import requests
from docker.errors import ImageNotFound
from docker.models.containers import Container

import cloudformation
import docker_engine
from imagefleet_scripts.emulator import free_port
from system import wait_for

ROOT = Path(__file__).parents[2]
INSTANCE = "i-0123456789abcdef0"
# Where images of ECR come from in these tests: nowhere, so what isn't there can't be had.
REGISTRY = "localhost:9"
WORKER_IMAGE = f"{REGISTRY}/{cloudformation.PREFIX}/imagefleet-worker:1.2.0"
# As compose/ec2.yaml has it.
REGISTRY_IMAGE = os.environ.get("REGISTRY_IMAGE", "registry:2")
# Stands in for the worker: drains when told, and ends when this file is there.
WORKER = f"""\
FROM {docker_engine.IMAGE}
CMD trap 'echo drained; exit 0' TERM; echo at work; until [ -e /tmp/over ]; do sleep 0.1; done
"""
# Where two cores do much else at the same time.
BOOTED_S, ENDED_S, REGISTRY_S = 240.0, 120.0, 120.0


def build(target: str) -> str:
    """Build one of the images and return its name."""
    name = f"imagefleet-machine-{target}:test"
    command = ["docker", "build", "--quiet", "--target", target, "--tag", name]
    done = subprocess.run(
        [*command, "--file", "images/ami/Dockerfile", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return name


def build_worker(engine: docker.DockerClient) -> None:
    """Build what stands in for the worker."""
    engine.images.build(fileobj=io.BytesIO(WORKER.encode()), tag=WORKER_IMAGE)


@contextmanager
def registry_with_worker(engine: docker.DockerClient) -> Iterator[str]:
    """Yield the name by which a registry has the worker's stand-in, and the engine has not."""
    port = free_port()
    repository = f"127.0.0.1:{port}/imagefleet-worker"
    container = engine.containers.run(
        REGISTRY_IMAGE,
        detach=True,
        ports={"5000/tcp": ("127.0.0.1", port)},
        environment={"OTEL_TRACES_EXPORTER": "none"},
        volumes=[f"{ROOT}/compose/registry.yaml:/etc/docker/registry/config.yml:ro"],
    )
    try:
        wait_for(lambda: _answers(f"http://127.0.0.1:{port}/v2/"), REGISTRY_S)
        engine.images.get(WORKER_IMAGE).tag(repository, "1")
        said = engine.images.push(repository, "1")
        assert "error" not in said, said
        engine.images.remove(f"{repository}:1")
        yield f"{repository}:1"
    finally:
        container.remove(force=True, v=True)
        with suppress(ImageNotFound):
            engine.images.remove(f"{repository}:1")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def user_data(changes: Mapping[str, str] | None = None, *, template: str = "WorkerTemplate") -> str:
    """Return the user data of a launch template, with some words changed."""
    text = cloudformation.user_data(template)
    for before, after in (changes or {}).items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@dataclass(frozen=True)
class Machine:
    """A machine that was launched."""

    container: Container

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.container.name)

    def worker(self) -> Container | None:
        """Return the worker's container."""
        found = self._engine().containers.list(
            all=True, filters={"label": f"imagefleet.machine={self.name}"}, ignore_removed=True
        )
        return found[0] if found else None

    def wait_for_worker(self, after: Container | None = None) -> Container:
        """Return the worker's container once it is at work, and another one than `after`."""
        self._wait_for(lambda: self._worker_at_work(after), BOOTED_S)
        worker = self.worker()
        assert worker
        return worker

    def wait_for_boot(self) -> None:
        """Return once cloud-init is done, well or not."""
        self._wait_for(lambda: "Cloud-init v." in self.console(), BOOTED_S)
        waited = self.runs(f"timeout {BOOTED_S:g} cloud-init status --wait || echo status $?")
        assert "status 124" not in waited, self.console()

    def wait_for_end(self) -> int:
        """Return the machine's exit status once it has powered off."""
        self._wait_for(self._ended, ENDED_S)
        return int(self.container.attrs["State"]["ExitCode"])

    def _worker_at_work(self, after: Container | None) -> bool:
        worker = self.worker()
        if not worker or worker.status != "running" or (after and worker.id == after.id):
            return False
        return b"at work" in _logs(worker)

    def _ended(self) -> bool:
        self.container.reload()
        return bool(self.container.status == "exited")

    def _wait_for(self, condition: Callable[[], bool], deadline_s: float) -> None:
        try:
            wait_for(condition, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; its console: {self.console()[-3000:]}") from None

    def runs(self, command: str) -> str:
        """Run a shell command inside; return what it printed."""
        output = self.container.exec_run(["sh", "-c", command]).output
        assert isinstance(output, bytes)
        return output.decode()

    def console(self) -> str:
        """Return what the console showed."""
        text = _logs(self.container).decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)

    def _engine(self) -> docker.DockerClient:
        assert isinstance(self.container.client, docker.DockerClient)
        return self.container.client


def _logs(container: Container) -> bytes:
    text = container.logs()
    assert isinstance(text, bytes)
    return text


@contextmanager
def launched(engine: docker.DockerClient, image: str, text: str) -> Iterator[Machine]:
    """Launch a machine with this user data; nothing of it is left in the end."""
    name = f"imagefleet-test-{uuid4().hex[:8]}"
    network = engine.networks.create(name)
    metadata = engine.containers.create(
        docker_engine.IMAGE,
        ["python3", "/metadata.py", INSTANCE, "/user-data"],
        name=f"{name}-metadata",
        network=name,
    )
    container = None
    try:
        source = (ROOT / "tests/support/machine_metadata.py").read_text()
        metadata.put_archive("/", packed({"metadata.py": source, "user-data": text}))
        metadata.start()
        container = engine.containers.run(
            image,
            name=name,
            detach=True,
            tty=True,
            network=name,
            cap_add=["SYS_ADMIN"],
            security_opt=["apparmor=unconfined"],
            tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},
            volumes=["/var/run/docker.sock:/var/run/docker.sock"],
            environment={
                "IMAGEFLEET_MACHINE_CONTAINER": name,
                "IMAGEFLEET_MACHINE_METADATA": f"http://{name}-metadata",
                "IMAGEFLEET_MACHINE_REGISTRY": REGISTRY,
                "IMAGEFLEET_MACHINE_MEMORY": "64m",
            },
        )
        yield Machine(container)
    finally:
        worker = Machine(container).worker() if container else None
        for each in (worker, container, metadata):
            if each:
                each.remove(force=True, v=True)
        network.remove()


def packed(files: Mapping[str, str]) -> bytes:
    """Return files as the engine takes them."""
    buffer = io.BytesIO()
    with closing(tarfile.open(fileobj=buffer, mode="w")) as archive:
        for name, content in files.items():
            data = content.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
