import json
from datetime import UTC, datetime

import pytest

from imagefleet_core import replies
from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId, Prediction, Result

NOW = datetime(2026, 1, 31, 12, 0, 0, 123000, UTC)
JOB = JobId("0192f3c4-5d6e-7f80-8123-456789abcdef", 7)


def result(**outcome: object) -> Result:
    fields = {"top": (), "error": None, **outcome}
    return Result(
        job=JOB, name="cat.jpg", model="net@1", worker="w", submitted_at=NOW, started_at=NOW,
        finished_at=NOW, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("outcome", [{"top": (Prediction("tabby", 0.9),)}, {"output": {"a": 1}}])
def test_a_reply_carries_the_result(outcome: dict[str, object]) -> None:
    body = replies.encode(result(**outcome))

    assert body == result(**outcome).encode()
    assert replies.decode(body) == result(**outcome)


def test_of_a_large_result_a_reply_tells_the_job_alone() -> None:
    # given an output whose characters take three bytes each
    body = replies.encode(result(output={"text": "\u65e5" * 9000}))

    assert replies.decode(body) == JOB
    assert len(body) < 100


def test_ten_of_the_largest_replies_fit_into_one_call_of_any_age() -> None:
    # given the largest output whose result still travels whole
    spare = replies.MAX_BYTES - len(result(output={"text": ""}).encode())
    largest = replies.encode(result(output={"text": "x" * spare}))

    assert len(largest) == replies.MAX_BYTES
    assert 10 * len(largest) <= 256 * 1024
    assert replies.decode(replies.encode(result(output={"text": "x" * (spare + 1)}))) == JOB


@pytest.mark.parametrize(
    "body", ["", "[]", json.dumps({"v": 1, "stored": "cat"}), json.dumps({"v": 1, "stored": 7})]
)
def test_anything_else_is_a_decode_error(body: str) -> None:
    with pytest.raises(DecodeError):
        replies.decode(body)
