"""What memory images may take."""

from __future__ import annotations

import pytest

from imagefleet_worker.memory import MIB, share_out


@pytest.mark.parametrize(
    ("memory_mb", "usable_mb", "total_mb"),
    [
        pytest.param(0, 512, 256, id="half of a small container"),
        pytest.param(0, 65536, 1024, id="no more than is of use"),
        pytest.param(2048, 512, 2048, id="what was asked for"),
    ],
)
def test_images_take_what_was_asked_for_or_suits_the_machine(
    memory_mb: int, usable_mb: int, total_mb: int
) -> None:
    shares = share_out(memory_mb, usable_mb * MIB)

    assert shares.files + shares.decoding + shares.pixels == total_mb * MIB
    assert shares.decoding == 2 * shares.files == 2 * shares.pixels
