"""Two builds of one commit are the same, whatever the day and the machine."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from docker.models.images import Image

import docker_engine
import laptop
from image_layers import layers_of

pytestmark = pytest.mark.docker

# The other tiers are built by the same steps; this one is the smallest.
TIER = "scaler"


def test_an_image_built_again_without_a_cache_holds_the_same_files(
    images: Mapping[str, Image],
) -> None:
    tag = f"{laptop.TAG}-again"
    laptop.compose("build", "--no-cache", TIER, environ={"IMAGEFLEET_TAG": tag})
    engine = docker_engine.require_engine()
    try:
        again = layers_of(engine.images.get(f"imagefleet-{TIER}:{tag}"))
    finally:
        engine.images.remove(f"imagefleet-{TIER}:{tag}")
        engine.close()

    first = layers_of(images[TIER])

    assert len(again) == len(first)
    for ours, theirs in zip(first, again, strict=True):
        assert [
            path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)
        ] == []
