"""EC2 as containers of this machine, as compose/ec2.yaml has it, to use, watch and hurt."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import docker
import requests
from docker.errors import NotFound
from docker.models.containers import Container

import laptop
from imagefleet_scripts.emulator import free_port
from system import wait_for

FILES = ("compose/ec2.yaml", "tests/docker/ec2.override.yaml")
BUILT = ("machines", "machine", "machine-plain", "web", "scaler", "worker")
MACHINE_LABEL = "imagefleet.instance"
READY_S = 90
FLEET = {"Name": "tag:imagefleet:fleet", "Values": ["imagefleet"]}


@dataclass(frozen=True)
class Ec2Laptop:
    """A running system: its address, its EC2, and its containers."""

    url: str
    project: str
    environ: Mapping[str, str]
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

    def containers(self) -> list[Container]:
        """Return all containers of the project, ended ones too."""
        return self.engine.containers.list(
            all=True, filters={"label": self._ours}, ignore_removed=True
        )

    def said(self, service: str = "machines") -> str:
        """Return what a service has logged."""
        return self.compose("logs", "--no-color", service)

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
    """Run `docker compose down`, and forget the image that its machines pulled."""
    system.compose("down")
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
