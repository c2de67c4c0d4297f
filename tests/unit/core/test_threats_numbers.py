"""A worker that was broken into may write any message or result; whoever reads it lives on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from imagefleet_core import replies, telemetry
from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId, Prediction, Result, new_batch_id
from imagefleet_core.telemetry import Announcement, Report, WorkerState

NOW = datetime.now(UTC)
REPORT = Report("worker-1", WorkerState.BUSY, NOW, 1, 2, 0, 0.1, 0.5).encode()
ANNOUNCEMENT = Announcement(3, NOW).encode()
RESULT = Result(
    JobId(new_batch_id(), 1), "a.jpg", (Prediction("cat", 0.9),), None, "m@1", "w", NOW, NOW, NOW
).encode()

# Neither fits into a float, and Python takes both out of JSON without a word.
HUGE = ["1" + "0" * 400, "-1" + "0" * 400, "1e999", "NaN", "-Infinity"]
UNCOUNTABLE = ["1" + "0" * 400, "9007199254740993", "-1", "1.5", "true", "NaN"]


def with_value(message: str, path: list[str | int], value: str) -> str:
    """Return a message with another value, given as it stands in JSON, in one of its fields."""
    told: Any = json.loads(message)
    inner = told
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = "VALUE"
    return json.dumps(told).replace('"VALUE"', value)


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize(
    ("read", "message", "path"),
    [
        (telemetry.decode, REPORT, ["service_s"]),
        (telemetry.decode, REPORT, ["oldest_s"]),
        (replies.decode, RESULT, ["top", 0, "score"]),
        (Result.decode, RESULT, ["top", 0, "score"]),
    ],
    ids=["service time", "age", "score in a reply", "score in a result"],
)
def test_a_number_that_no_float_holds_is_a_decode_error(
    read: Callable[[str], object], message: str, path: list[str | int], value: str
) -> None:
    read(message)  # which is fine as it is

    with pytest.raises(DecodeError, match=str(path[-1])):
        read(with_value(message, path, value))


@pytest.mark.parametrize("value", UNCOUNTABLE)
@pytest.mark.parametrize(
    ("message", "field"),
    [(REPORT, "in_flight"), (REPORT, "done"), (ANNOUNCEMENT, "announced")],
    ids=["held", "done", "announced"],
)
def test_a_count_that_nobody_can_have_counted_is_a_decode_error(
    message: str, field: str, value: str
) -> None:
    with pytest.raises(DecodeError, match=field):
        telemetry.decode(with_value(message, [field], value))


@pytest.mark.parametrize("read", [telemetry.decode, replies.decode, Result.decode])
@pytest.mark.parametrize(
    "message", ["[" * 100_000, '{"v":1,"top":' + '[{"a":' * 50_000, "9" * 5000]
)
def test_what_is_nested_without_end_is_a_decode_error(
    read: Callable[[str], object], message: str
) -> None:
    with pytest.raises(DecodeError):
        read(message)
