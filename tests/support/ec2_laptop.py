"""EC2 as containers of this machine, as compose/ec2.yaml has it, to use, watch and hurt."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import docker
import requests
from docker.errors import ImageNotFound, NotFound
from docker.models.containers import Container

import laptop
from imagefleet_scripts.emulator import free_port
from system import wait_for

FILES = ("compose/ec2.yaml", "tests/docker/ec2.override.yaml")
BUILT = ("machines", "machine", "machine-plain", "web", "scaler", "worker")
MACHINE_LABEL = "imagefleet.instance"
# What a release changes. The rest is EC2's own part, and stays as it is.
RELEASED = ("machines", "web", "scaler", "worker")
TEMPLATE = "imagefleet-worker"
READY_S = 240
FLEET = {"Name": "tag:imagefleet:fleet", "Values": ["imagefleet"]}


@dataclass(frozen=True)
class Ec2Laptop:
    """A running system: its address, its EC2, and its containers."""

    url: str
    project: str
    environ: dict[str, str]
    engine: docker.DockerClient
    ec2: Any

    def records(self) -> dict[str, str]:
        """Return the state of each of the fleet's instances, as EC2 tells."""
        found = self.ec2.describe_instances(Filters=[FLEET])["Reservations"]
        return {
            each["InstanceId"]: each["State"]["Name"]
            for held in found
            for each in held["Instances"]
        }

    def machines(self, status: str = "running") -> dict[str, Container]:
        """Return the machines in a state of the engine's, by their instances' ids."""
        found = self.engine.containers.list(
            all=True,
            filters={"label": [MACHINE_LABEL, self._ours], "status": status},
            ignore_removed=True,
        )
        return {each.labels[MACHINE_LABEL]: each for each in found}

    def working(self) -> list[str]:
        """Return the machines whose workers run."""
        return [each for each in self.machines() if self._runs(f"{each}-worker")]

    def versions(self) -> set[str]:
        """Return the tags of the images that the workers run."""
        running = [self.engine.containers.get(f"{each}-worker") for each in self.working()]
        return {each.attrs["Config"]["Image"].rpartition(":")[2] for each in running}

    def fleets(self) -> int:
        """Return how often CreateFleet was called."""
        return len(self.ec2.describe_fleets()["Fleets"])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have no worker do anything meanwhile, so that work piles up."""
        workers = [self.engine.containers.get(f"{each}-worker") for each in self.working()]
        for each in workers:
            each.pause()
        try:
            yield
        finally:
            for each in workers:
                each.unpause()

    def lose_all(self) -> None:
        """Pull the plug of every machine."""
        for machine in self.machines().values():
            machine.kill("SIGKILL")
        wait_for(lambda: not self.machines(), 30)

    @contextmanager
    def booting(self, user_data: str) -> Iterator[None]:
        """Have the launch template tell machines something else meanwhile."""
        before: str = self._newest()["LaunchTemplateData"]["UserData"]
        self._boot_with(base64.b64encode(user_data.encode()).decode())
        try:
            yield
        finally:
            self._boot_with(before)

    def release(self, tag: str) -> None:
        """Put a version where machines pull from, and into the launch template, as a deploy does.

        It is the same code under another name. Nothing that runs changes yet.
        """
        for each in RELEASED:
            name = f"imagefleet-{each}"
            self.engine.images.get(f"{name}:{laptop.TAG}").tag(name, tag)
        self.environ["IMAGEFLEET_TAG"] = tag
        for service in ("push", "setup"):
            self.compose("run", "--rm", "--no-deps", "-T", service)

    def again(self, *services: str, **settings: str) -> None:
        """Start services anew, with other settings if any are given."""
        self.environ.update(settings)
        self.compose(
            "up", "--detach", "--no-build", "--no-deps", "--force-recreate", *services
        )  # fmt: skip
        wait_for(lambda: _is_ready(self.url), READY_S)

    def containers(self) -> list[Container]:
        """Return all containers of the project, ended ones too."""
        return self.engine.containers.list(
            all=True, filters={"label": self._ours}, ignore_removed=True
        )

    def said(self, service: str = "machines") -> str:
        """Return what a service has logged. From the engine: compose takes long to start."""
        found = [each for each in self.containers() if each.labels[laptop.SERVICE_LABEL] == service]
        return "".join(each.logs().decode(errors="replace") for each in found)

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on this system and return what it says."""
        return laptop.compose(
            *arguments, project=self.project, files=FILES, environ=self.environ
        ).stdout

    def inside(self, instance: str, *command: str) -> str:
        """Run a command on a machine and return what it says."""
        done = subprocess.run(
            ["docker", "exec", instance, *command], capture_output=True, text=True, check=True
        )
        return done.stdout

    def _boot_with(self, encoded: str) -> None:
        self.ec2.create_launch_template_version(
            LaunchTemplateName=TEMPLATE,
            SourceVersion=str(self._newest()["VersionNumber"]),
            LaunchTemplateData={"UserData": encoded},
        )

    def _newest(self) -> dict[str, Any]:
        found = self.ec2.describe_launch_template_versions(
            LaunchTemplateName=TEMPLATE, Versions=["$Latest"]
        )
        newest: dict[str, Any] = found["LaunchTemplateVersions"][0]
        return newest

    @property
    def _ours(self) -> str:
        return f"{laptop.PROJECT_LABEL}={self.project}"

    def _runs(self, name: str) -> bool:
        try:
            return bool(self.engine.containers.get(name).status == "running")
        except NotFound:
            return False


@contextmanager
def running(**settings: str) -> Iterator[Ec2Laptop]:
    """Build and run the system on free ports until it is ready; take it down in the end."""
    web, emulator, registry = free_port(), free_port(), free_port()
    engine = laptop.require_compose()
    ec2 = boto3.client(
        "ec2",
        endpoint_url=f"http://127.0.0.1:{emulator}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    system = Ec2Laptop(
        url=f"http://127.0.0.1:{web}/",
        project=f"imagefleet-ec2-{uuid4().hex[:8]}",
        environ={
            "IMAGEFLEET_PORT": str(web),
            "IMAGEFLEET_REGISTRY_PORT": str(registry),
            "MINISTACK_PORT": str(emulator),
            **settings,
        },
        engine=engine,
        ec2=ec2,
    )
    with closing(engine), closing(ec2):
        try:
            system.compose("build", *BUILT)
            system.compose("up", "--detach")
            wait_for(lambda: _is_ready(system.url), READY_S)
            yield system
        finally:
            down(system)


def down(system: Ec2Laptop) -> None:
    """Run `docker compose down`, and forget the names that releases and machines gave to images."""
    system.compose("down")
    if (tag := system.environ.get("IMAGEFLEET_TAG", laptop.TAG)) != laptop.TAG:
        for each in RELEASED:
            with suppress(ImageNotFound):
                system.engine.images.remove(f"imagefleet-{each}:{tag}")
    name = f"127.0.0.1:{system.environ['IMAGEFLEET_REGISTRY_PORT']}/imagefleet/imagefleet-worker"
    for image in system.engine.images.list(name=name):
        for tag in image.tags:
            if tag.startswith(name):
                system.engine.images.remove(tag)


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}readyz", timeout=5).ok
    except requests.RequestException:
        return False
