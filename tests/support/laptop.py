"""The whole system as `docker compose up` runs it, for the tests to use, watch and hurt."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import requests
from docker.models.containers import Container
from localstack_client.session import Session  # type: ignore[import-untyped]

from conditions import skip_or_fail
from docker_engine import require_engine
from imagefleet_scripts.emulator import free_port
from system import wait_for

ROOT = Path(__file__).parents[2]
FILES = ("compose.yaml", "tests/docker/compose.override.yaml")
# Not `latest`, which a user of this machine may be running.
TAG = "test"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
READY_S = 240


@dataclass(frozen=True)
class Laptop:
    """A running system: its address, the emulator's, and its containers."""

    url: str
    localstack_host: str
    project: str
    environ: Mapping[str, str]
    engine: docker.DockerClient

    def containers(self) -> list[Container]:
        """Return all containers of the project, ended ones too."""
        return self._labelled(f"{PROJECT_LABEL}={self.project}", ended=True)

    def service(self, name: str) -> list[Container]:
        """Return the containers of one service that run."""
        return self._labelled(f"{PROJECT_LABEL}={self.project}", f"{SERVICE_LABEL}={name}")

    def aws(self) -> Session:
        """Return what makes clients of the emulator."""
        return Session(localstack_host=self.localstack_host)

    def down(self) -> None:
        """Run `docker compose down`."""
        compose("down", "--timeout", "5", project=self.project, environ=self.environ)

    def _labelled(self, *labels: str, ended: bool = False) -> list[Container]:
        return self.engine.containers.list(
            all=ended, filters={"label": list(labels)}, ignore_removed=True
        )


@contextmanager
def running() -> Iterator[Laptop]:
    """Run the system on free ports until it is ready; take it down in the end."""
    web, emulator = free_port(), free_port()
    laptop = Laptop(
        url=f"http://127.0.0.1:{web}/",
        localstack_host=f"127.0.0.1:{emulator}",
        project=f"imagefleet-test-{uuid4().hex[:8]}",
        environ={
            "IMAGEFLEET_PORT": str(web),
            "LOCALSTACK_PORT": str(emulator),
            # Twenty that start at once would take two cores half a minute.
            "IMAGEFLEET_MAX_WORKERS": "4",
        },
        engine=require_compose(),
    )
    with closing(laptop.engine):
        try:
            compose("up", "--detach", project=laptop.project, environ=laptop.environ)
            wait_for(lambda: _is_ready(laptop.url), READY_S)
            yield laptop
        finally:
            laptop.down()


def require_compose() -> docker.DockerClient:
    """Return a client of the engine here; skip the test where it, or Compose, is missing."""
    engine = require_engine()
    if not _compose_answers():
        engine.close()
        skip_or_fail("DOCKER", "no Docker Compose on this machine")
    return engine


def compose(
    *arguments: str,
    project: str = "imagefleet",
    files: tuple[str, ...] = FILES,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `docker compose` on the repository's files; what it says is shown where it fails."""
    given = [argument for file in files for argument in ("--file", file)]
    ended = subprocess.run(
        ["docker", "compose", "--project-name", project, *given, *arguments],
        cwd=ROOT,
        env={**os.environ, "IMAGEFLEET_TAG": TAG, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended


def resolved(**environ: str) -> dict[str, Any]:
    """Return what Compose makes of the repository's compose.yaml and these variables."""
    files = ("compose.yaml",)
    text = compose("config", "--format", "json", files=files, environ=environ).stdout
    configuration: dict[str, Any] = json.loads(text)
    return configuration


@cache
def _compose_answers() -> bool:
    return not subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    ).returncode


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}readyz", timeout=5).ok
    except requests.RequestException:
        return False
