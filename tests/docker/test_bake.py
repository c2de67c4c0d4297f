"""What docker-bake.hcl builds, as buildx itself reads it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import laptop
from imagefleet_scripts.deploy.account import IMAGES

pytestmark = pytest.mark.docker

Targets = dict[str, dict[str, Any]]
Bake = Callable[..., Targets]
# What compose leaves to the Dockerfiles.
OF_RELEASES = {"VERSION", "REVISION"}


@pytest.fixture(scope="module")
def bake() -> Bake:
    """Return what reads the file, with variables of its own: Docker's buildx, or Debian's."""
    laptop.require_compose().close()
    command = ["docker", "buildx"]
    if subprocess.run([*command, "version"], capture_output=True, check=False).returncode:
        laptop.compose("build", "buildx", files=("tests/docker/buildx.yaml",))
        command = ["docker", "run", "--rm", "--network=none", f"--volume={laptop.ROOT}:/src:ro"]
        command += ["--workdir=/src"]

    def read(**variables: str) -> Targets:
        given = [f"--env={name}" for name in variables]
        where = [] if command[1] == "buildx" else [*given, "imagefleet-test-buildx"]
        return _printed([*command, *where, "bake", "--file=docker-bake.hcl", "--print"], variables)

    return read


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_bake_and_compose_build_the_same(bake: Bake, runtime: str) -> None:
    variables = {
        "PYTHON_IMAGE": "mirror.example/python:3.13@sha256:" + "1" * 64,
        "WORKER_TARGET": runtime,
        "TORCH_INDEX": "https://torch.example/cpu",
    }

    baked = bake(**variables)

    for tier, service in laptop.resolved(**variables)["services"].items():
        if built := service.get("build"):
            target = baked[tier]
            arguments = {k: v for k, v in target["args"].items() if k not in OF_RELEASES}
            assert target["dockerfile"] == built["dockerfile"]
            assert target.get("target") == built.get("target")
            assert arguments == built["args"]


def test_bake_builds_all_that_is_deployed_under_the_names_that_are_deployed(bake: Bake) -> None:
    baked = bake(REGISTRY="registry.example/fleet/", VERSION="1.2.3")

    assert set(baked) == set(IMAGES)
    for image, target in baked.items():
        assert target["tags"] == [f"registry.example/fleet/imagefleet-{image}:1.2.3"]


def test_a_release_says_what_it_was_built_from_and_keeps_the_commits_time(bake: Bake) -> None:
    digest = "@sha256:" + "2" * 64

    baked = bake(
        ATTEST="true",
        PYTHON_IMAGE=f"python:3.13{digest}",
        NGINX_IMAGE=f"nginx:1.29{digest}",
        SOURCE="https://code.example/imagefleet",
        SOURCE_DATE_EPOCH="1700000000",
        REVISION="abc",
    )

    for target in baked.values():
        assert target["attest"] == ["type=sbom", "type=provenance,mode=max"]
        assert target["args"]["SOURCE_DATE_EPOCH"] == "1700000000"
        assert target["args"]["REVISION"] == "abc"
        labels = target["labels"]
        assert labels["org.opencontainers.image.base.name"].endswith(digest)
        assert labels["org.opencontainers.image.source"] == "https://code.example/imagefleet"


def test_a_build_by_hand_needs_nothing_that_the_engines_own_builder_lacks(bake: Bake) -> None:
    for target in bake().values():
        assert not {"attest", "output", "platforms"} & target.keys()
        assert "SOURCE_DATE_EPOCH" not in target["args"]


def _printed(command: list[str], variables: Mapping[str, str]) -> Targets:
    ended = subprocess.run(
        command,
        cwd=laptop.ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    targets: Targets = json.loads(ended.stdout)["target"]
    return targets
