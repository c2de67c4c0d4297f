"""The scaler's account of the fleet, as it lies in the results bucket."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefleet_core import fields
from imagefleet_core.errors import DecodeError
from imagefleet_core.fleet import (
    CostReport,
    DecisionReport,
    FleetReport,
    Point,
    QueueReport,
    WorkerReport,
)

NOW = datetime(2026, 1, 31, 12, 0, 0, 123000, UTC)
REPORT = FleetReport(
    at=NOW,
    fresh_s=24,
    queue=QueueReport(90, 10, 0, 1.5),
    workers=(WorkerReport("w-1", "busy", NOW, 3, 120, 1, 0.015, 41.2),),
    desired=4,
    min_workers=0,
    max_workers=20,
    decisions=(DecisionReport(NOW, 4, 2, 0, "a sentence"),),
    cost=CostReport(0.12, 0.034, NOW),
    history=(Point(NOW, 90, 10, 4, 3, 4, 1200),),
    done=1234,
)

moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000, tzinfo=UTC)
)
texts = st.text(max_size=20)
counts = st.integers(0, fields.MOST)
figures = st.floats(0, 1e9)
maybe = st.none() | figures


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


reports = st.builds(
    FleetReport,
    at=moments,
    fresh_s=maybe,
    queue=st.builds(QueueReport, counts, counts, counts, maybe),
    workers=some(
        st.builds(WorkerReport, texts, texts, moments, counts, counts, counts, maybe, maybe)
    ),
    desired=counts,
    min_workers=counts,
    max_workers=counts,
    decisions=some(st.builds(DecisionReport, moments, counts, counts, counts, texts)),
    cost=st.none() | st.builds(CostReport, figures, figures, moments),
    history=some(st.builds(Point, moments, counts, counts, counts, counts, counts, counts)),
    done=counts,
)


def changed(value: Any, *path: str | int) -> bytes:
    """Return the report as stored, with one field replaced."""
    stored = json.loads(REPORT.encode())
    place = stored
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(stored).encode()


@settings(max_examples=50)
@given(reports)
def test_a_report_comes_back_as_it_was_written(report: FleetReport) -> None:
    assert FleetReport.decode(report.encode()) == report


def test_the_api_tells_all_but_what_is_between_scaler_and_web_tier() -> None:
    stored = json.loads(REPORT.encode())

    assert stored == {"v": 1, "fresh_s": 24, "done": 1234, **REPORT.told()}
    assert REPORT.told()["at"] == "2026-01-31T12:00:00.123Z"
    assert REPORT.told()["workers"] == [
        {
            "id": "w-1",
            "phase": "busy",
            "launched_at": "2026-01-31T12:00:00.123Z",
            "in_flight": 3,
            "done": 120,
            "failed": 1,
            "service_s": 0.015,
            "images_per_s": 41.2,
        }
    ]


def test_what_a_newer_scaler_adds_is_ignored() -> None:
    assert FleetReport.decode(changed("x", "new")) == REPORT
    assert FleetReport.decode(changed("x", "workers", 0, "new")) == REPORT


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("v",), 2, "'v' must be 1"),
        (("at",), "soon", "'at' must be an ISO 8601 time"),
        (("fresh_s",), "long", "'fresh_s' must be a number"),
        (("queue",), None, "'queue' must be an object"),
        (("queue", "visible"), -1, "'visible' must be a whole number"),
        (("workers",), {}, "'workers' must be a list"),
        (("workers", 0), "w-1", "expected a JSON object"),
        (("workers", 0, "done"), 1.5, "'done' must be a whole number"),
        (("desired",), True, "'desired' must be a whole number"),
        (("decisions", 0, "why"), 7, "'why' must be a string"),
        (("cost", "since"), None, "'since' must be a string"),
        (("history", 0, "at"), "2026-01-31T12:00:00", "'at' must carry a time zone"),
    ],
)
def test_damage_is_refused_and_the_field_named(
    path: tuple[str | int, ...], value: Any, complaint: str
) -> None:
    with pytest.raises(DecodeError, match=complaint):
        FleetReport.decode(changed(value, *path))


@pytest.mark.parametrize("end", [0, 1, 100, -1])
def test_a_report_that_is_cut_off_is_refused(end: int) -> None:
    with pytest.raises(DecodeError, match="not JSON"):
        FleetReport.decode(REPORT.encode()[:end])
