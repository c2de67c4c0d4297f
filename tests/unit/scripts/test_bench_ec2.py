"""What the benchmark of EC2 on a laptop reads and writes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imagefleet_scripts.bench import ec2
from imagefleet_scripts.bench.kit.ec2_system import PLAIN, Ec2System

LOG = """\
2026-01-31T12:00:00.123456789Z 12:00:00 [info ] the scaler is at work [scaler] provider=ec2
2026-01-31T12:00:05.5Z 12:00:05 [info ] the fleet changes [scaler] backlog=1 launched=1 retired=0
2026-01-31T12:01:07.000000001Z 12:01:07 [info ] the fleet changes [scaler] launched=0 retired=1
2026-01-31T12:02:00.123456789Z 12:02:00 [info ] the fleet changes [scaler] launched=12 retired=0
"""


def test_launches_are_read_from_the_scalers_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ec2System, "_compose", lambda *_: LOG)

    launches = Ec2System("http://127.0.0.1/", {}, PLAIN).launches()

    assert launches == [
        datetime(2026, 1, 31, 12, 0, 5, 500_000, UTC),
        datetime(2026, 1, 31, 12, 2, 0, 123_456, UTC),
    ]


def test_the_table_has_a_row_for_each_kind_with_all_that_was_taken() -> None:
    taken = {"cold": [60.0, 50.0, 70.0], "baked": [9.0, 8.0, 13.0], "warm": [5.0, 4.0, 6.0]}

    lines = ec2.report(taken).splitlines()

    assert [line.split(":")[0] for line in lines[1:]] == ["cold", "baked", "warm"]
    assert lines[1].endswith("60.0  60.0, 50.0, 70.0")
    assert ec2.summary(taken)["baked_s"] == 9.0
    assert ec2.summary(taken)["baked_most_s"] == 13.0
