"""The images and the whole system as containers, which the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest
from docker.models.images import Image

import docker_engine
import laptop as laptop_system
from laptop import TAG, Laptop

TIERS = ("web", "worker", "scaler")


@pytest.fixture(scope="session")
def images() -> Iterator[Mapping[str, Image]]:
    """The image of each tier, and `base` for the one that they stand on; built if need be."""
    with closing(laptop_system.require_compose()) as engine:
        laptop_system.compose("build")
        built = {tier: engine.images.get(f"imagefleet-{tier}:{TAG}") for tier in TIERS}
        yield {**built, "base": engine.images.get(docker_engine.IMAGE)}


@pytest.fixture(scope="session")
def laptop(images: Mapping[str, Image]) -> Iterator[Laptop]:
    """A running system that all tests share; who breaks it runs one of its own."""
    with laptop_system.running() as started:
        yield started
