"""The benchmark of JPEG decoders, without measuring."""

from __future__ import annotations

import numpy as np

import photographs
from imagefleet_scripts.bench import decode
from imagefleet_scripts.bench.kit.jpeg_ways import REFERENCE, installed


def test_every_installed_way_cuts_the_same_square_out_of_a_photograph() -> None:
    data = photographs.jpeg("coffee")
    ways = {name: way for name, way in installed().items() if way}
    expected = ways[REFERENCE](data).astype(int)

    off = {name: float(np.abs(way(data) - expected).mean()) for name, way in ways.items()}

    assert len(off) >= 2
    assert {name: how_far for name, how_far in off.items() if how_far > 4} == {}


def test_a_library_that_is_missing_is_called_so() -> None:
    figures = {"there": {"small": 2.55, "labels": 11, "photographs": 12, "change": 0.0391}}

    table = decode.table(
        {"there": lambda _: np.empty(0, np.uint8), "gone": None}, figures, ["small"]
    )

    assert table.splitlines()[2:] == [
        "| there | 2.5 | 11 of 12 | 0.039 |",
        "| gone | not installed |",
    ]
