"""What the images are like, before anything runs in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

import docker
import pytest
from docker.models.images import Image
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import laptop

pytestmark = pytest.mark.docker

MB = 1_000_000
TIERS = ("web", "worker", "scaler")
IN_THE_IMAGE = {"python_version": "3.13", "python_full_version": "3.13.0"}
OF_THE_BASE = {"pip", "setuptools", "wheel"}
TRIMMED = {"openvino-telemetry"}
each_tier = pytest.mark.parametrize("tier", TIERS)


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with closing(laptop.require_compose()) as client:
        yield client


@pytest.mark.parametrize(("tier", "budget_mb"), [("web", 120), ("worker", 250), ("scaler", 120)])
def test_an_image_is_small(images: Mapping[str, Image], tier: str, budget_mb: int) -> None:
    on_top_of_the_base = images[tier].attrs["Size"] - images["base"].attrs["Size"]

    assert 0 < on_top_of_the_base < budget_mb * MB


@each_tier
def test_an_image_runs_one_process_of_an_unprivileged_user(
    images: Mapping[str, Image], tier: str
) -> None:
    config = images[tier].attrs["Config"]

    assert config["User"] == "10001:10001"
    # Without a shell between, so that signals reach the process.
    assert config["Entrypoint"] == ["python", "-m", f"imagefleet_{tier}"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] == "CMD"


@each_tier
def test_an_image_says_what_it_is(images: Mapping[str, Image], tier: str) -> None:
    labels = images[tier].labels

    assert labels["org.opencontainers.image.title"] == f"imagefleet-{tier}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert {"description", "version", "revision"} <= {
        name.removeprefix("org.opencontainers.image.") for name in labels
    }


@each_tier
def test_an_image_runs_without_rights_network_or_a_place_to_write(
    images: Mapping[str, Image], engine: docker.DockerClient, tier: str
) -> None:
    assert "IMAGEFLEET_PREFIX" in _run(engine, images[tier], "--help")


@each_tier
def test_an_image_carries_nothing_that_installs_packages(
    images: Mapping[str, Image], engine: docker.DockerClient, tier: str
) -> None:
    look = "import importlib.util as u; print([n for n in ('pip', 'setuptools') if u.find_spec(n)])"

    assert _run(engine, images[tier], "-c", look, entrypoint="python").strip() == "[]"


@each_tier
def test_an_image_has_what_its_lock_lists_and_says_so_to_scanners(
    images: Mapping[str, Image], engine: docker.DockerClient, tier: str
) -> None:
    ask = "import importlib.metadata as m; print(*{d.name for d in m.distributions()})"
    lock = (laptop.ROOT / f"images/{tier}/requirements.txt").read_text()

    told = _run(engine, images[tier], "-c", ask, entrypoint="python").split()

    installed = {canonicalize_name(name) for name in told} - OF_THE_BASE
    locked = {
        canonicalize_name(requirement.name)
        for line in lock.splitlines()
        if "==" in line
        for requirement in [Requirement(line.rstrip("\\ "))]
        if not requirement.marker or requirement.marker.evaluate(IN_THE_IMAGE)
    }
    assert installed == locked - TRIMMED


def test_a_trimmed_worker_still_classifies(
    images: Mapping[str, Image], engine: docker.DockerClient
) -> None:
    assert "works with openvino" in _run(engine, images["worker"], "--check")


def test_one_variable_chooses_the_runtime_of_the_worker() -> None:
    laptop.require_compose().close()

    build = laptop.resolved(WORKER_TARGET="torch", TORCH_INDEX="https://example.org/cpu")
    torch = build["services"]["worker"]["build"]

    assert torch["target"] == "torch"
    assert torch["args"]["TORCH_INDEX"] == "https://example.org/cpu"
    assert laptop.resolved()["services"]["worker"]["build"]["target"] == "openvino"


def _run(
    engine: docker.DockerClient, image: Image, *command: str, entrypoint: str | None = None
) -> str:
    """Run a command in a container that may do nothing; return what it printed."""
    assert image.id
    printed = engine.containers.run(
        image.id,
        list(command),
        entrypoint=entrypoint,
        remove=True,
        read_only=True,
        network_disabled=True,
        cap_drop=["ALL"],
    )
    return printed.decode()
