"""The settings of the machines on a laptop."""

from __future__ import annotations

import pytest

from imagefleet_core.settings import SettingsError, load
from imagefleet_machines.settings import MachinesSettings


def test_images_of_amis_are_pairs_with_commas_between() -> None:
    pairs = "ami-0ba4ed00000000001=machine:1.0, ami-0deb1a00000000001=127.0.0.1:5000/plain:1"

    settings = load(MachinesSettings, {"IMAGEFLEET_MACHINE_IMAGES": pairs})

    assert settings.images == {
        "ami-0ba4ed00000000001": "machine:1.0",
        "ami-0deb1a00000000001": "127.0.0.1:5000/plain:1",
    }
    assert load(MachinesSettings, {}).images == {}


@pytest.mark.parametrize("pairs", ["machine:1.0", "ami-1=machine", "ami-0ba4ed00000000001="])
def test_what_is_no_pair_is_named(pairs: str) -> None:
    with pytest.raises(SettingsError, match="IMAGEFLEET_MACHINE_IMAGES"):
        load(MachinesSettings, {"IMAGEFLEET_MACHINE_IMAGES": pairs})
