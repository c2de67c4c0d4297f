"""The example of docs/processors.md: three lines on top of the worker's image."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import docker
import pytest
from docker.models.images import Image

import laptop
from laptop import TAG

pytestmark = pytest.mark.docker

EXAMPLE = laptop.ROOT / "examples/photo-quality"


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with closing(laptop.require_compose()) as client:
        yield client


@pytest.fixture
def example(
    images: Mapping[str, Image], engine: docker.DockerClient, tmp_path: Path
) -> Iterator[str]:
    """The example's image on the worker's image of these tests; removed in the end."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "example"))
    first, *rest = (folder / "Dockerfile").read_text().splitlines()
    assert (first, len(rest)) == ("FROM imagefleet-worker", 2)
    (folder / "Dockerfile").write_text("\n".join([f"{first}:{TAG}", *rest]))
    tag = "imagefleet-example:test"
    engine.images.build(path=str(folder), tag=tag)
    yield tag
    engine.images.remove(tag, force=True)


def test_three_lines_make_an_image_that_does_ones_own_work(
    example: str, engine: docker.DockerClient
) -> None:
    printed = engine.containers.run(
        example, ["--check"], remove=True, read_only=True, network_disabled=True, cap_drop=["ALL"]
    )

    assert printed.decode().startswith("photo-quality@1 works: a grey picture gives {")


def test_an_images_own_packages_are_installed_beside_the_workers(
    example: str, engine: docker.DockerClient
) -> None:
    # given the worker's image, in which only root may install
    ask = "pip --python /opt/venv/bin/python list"
    printed = engine.containers.run(example, ["-c", ask], entrypoint="sh", user="0", remove=True)

    assert "openvino" in printed.decode()


def test_one_variable_has_the_fleet_made_of_it() -> None:
    laptop.require_compose().close()

    scaler = laptop.resolved(IMAGEFLEET_WORKER_IMAGE="photo-quality")["services"]["scaler"]

    assert scaler["environment"]["IMAGEFLEET_WORKER_IMAGE"] == "photo-quality"
    assert laptop.resolved()["services"]["scaler"]["environment"]["IMAGEFLEET_WORKER_IMAGE"] == (
        f"imagefleet-worker:{TAG}"
    )
