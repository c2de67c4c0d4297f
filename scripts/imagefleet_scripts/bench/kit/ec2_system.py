"""compose/ec2.yaml, run for a benchmark: one instance at a time."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import requests

from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.emulator import free_port

ROOT = Path(__file__).parents[4]
PHOTOGRAPH = ROOT / "samples/chelsea.jpg"
PROJECT = "imagefleet-bench-ec2"
# As compose/ec2.yaml has them.
BAKED, PLAIN = "ami-0ba4ed00000000001", "ami-0deb1a00000000001"
READY_S, REST_S, FIRST_S = 120, 180, 600
POLL_S = 0.2

_LAUNCH = re.compile(r"^(\S+) .*the fleet changes.*\blaunched=[1-9]", re.MULTILINE)
# Run in the scaler's container, which has boto3 and reaches EC2. Says how many are not at rest.
_STOP = """
import boto3
ec2 = boto3.client("ec2")
found = [each for held in ec2.describe_instances()["Reservations"] for each in held["Instances"]]
ids = [each["InstanceId"] for each in found if each["State"]["Name"] in ("pending", "running")]
if ids:
    ec2.stop_instances(InstanceIds=ids)
"""


@dataclass(frozen=True)
class Ec2System:
    """A running system.

    Attributes:
        environ: of `docker compose`.
    """

    url: str
    environ: Mapping[str, str]
    ami: str

    def launches(self) -> list[datetime]:
        """Return when the scaler launched or started instances, by the engine's clock."""
        said = self._compose("logs", "--timestamps", "--no-log-prefix", "--no-color", "scaler")
        return [_moment(found) for found in _LAUNCH.findall(said)]

    def lose_all(self) -> None:
        """End all machines, and what a plain one would find pulled."""
        for machine in self._machines():
            _docker("rm", "--force", machine)
        self._await_rest()
        if self.ami == PLAIN:
            self._forget_the_pulled()

    def stop_all(self) -> None:
        """Stop all instances, as the warm pool keeps them."""
        self._compose("exec", "-T", "scaler", "python", "-c", _STOP)
        self._await_rest()

    def last_words(self) -> str:
        """Return the end of what was logged."""
        return self._compose("logs", "--tail", "5", "machines", "scaler")

    def up(self) -> None:
        """Start all of it; return when it is ready and the worker's image is pushed."""
        self._compose("up", "--detach", "--build")
        _await(self._is_ready, READY_S, "the system is not ready")
        _docker("wait", f"{PROJECT}-push-1")
        # The first instance is launched for S3's test event, which shall not come in between.
        with PHOTOGRAPH.open("rb") as file:
            requests.post(self.url, files={"file": file}, timeout=FIRST_S)

    def down(self) -> None:
        """Remove all of it."""
        self._compose("down")
        self._forget_the_pulled()

    def _forget_the_pulled(self) -> None:
        registry = f"127.0.0.1:{self.environ['IMAGEFLEET_REGISTRY_PORT']}"
        _docker("image", "rm", f"{registry}/imagefleet/imagefleet-worker:latest")

    def _await_rest(self) -> None:
        """Wait until nobody runs and the scaler has seen that."""
        _await(lambda: not self._machines(), REST_S, "machines do not end")
        fleet = f"{self.url}api/v1/fleet"
        _await(
            lambda: not requests.get(fleet, timeout=60).json()["workers"],
            REST_S,
            "the scaler still counts workers",
        )

    def _machines(self) -> list[str]:
        ours = f"label=com.docker.compose.project={PROJECT}"
        said = _docker("ps", "--quiet", "--filter", "label=imagefleet.instance", "--filter", ours)
        return said.split()

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def _compose(self, *arguments: str) -> str:
        files = ("--file", "compose/ec2.yaml")
        return _docker(
            "compose", "--project-name", PROJECT, *files, *arguments, environ=self.environ
        )


@contextmanager
def running(ami: str) -> Iterator[Ec2System]:
    """Run the system with instances of an AMI; take it down in the end."""
    web, registry = free_port(), free_port()
    environ = {
        "IMAGEFLEET_PORT": str(web),
        "IMAGEFLEET_REGISTRY_PORT": str(registry),
        "IMAGEFLEET_WORKER_AMI": ami,
        "IMAGEFLEET_MAX_WORKERS": "1",
        "IMAGEFLEET_WARM_POOL": "1",
    }
    system = Ec2System(f"http://127.0.0.1:{web}/", environ, ami)
    try:
        system.up()
        yield system
    finally:
        system.down()


def _await(done: Callable[[], bool], within_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise BenchError(f"{otherwise} after {within_s} s")
        time.sleep(POLL_S)


def _docker(*arguments: str, environ: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            ["docker", *arguments],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BenchError("there is no docker on this machine") from error
    if done.returncode and arguments[0] != "image":  # what was not pulled can't be removed
        raise BenchError(f"docker {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _moment(text: str) -> datetime:
    """Read the engine's time, which has more digits than Python takes."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z$", r"\1+00:00", text))
