import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_core import fields
from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import (
    Failure,
    JobId,
    Prediction,
    Request,
    Result,
    Status,
    new_batch_id,
)
from imagefleet_core.keys import clean_name
from imagefleet_core.telemetry import Report, WorkerState

NOW = datetime(2026, 1, 31, 12, 0, 0, 123000, UTC)
JOB = JobId("0192f3c4-5d6e-7f80-8123-456789abcdef", 7)

moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000, tzinfo=UTC)
)
texts = st.text(max_size=50)
counts = st.integers(0, fields.MOST)
jobs = st.builds(JobId, st.builds(new_batch_id), st.integers(1, 999_999_999))
requests = st.builds(Request, jobs, texts, texts, st.none() | texts, moments)
scores = st.floats(0, 1)
outputs = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    ),
    max_size=4,
)
outcomes = st.one_of(
    st.fixed_dictionaries(
        {"top": st.lists(st.builds(Prediction, texts, scores), min_size=1).map(tuple)}
    ),
    st.fixed_dictionaries({"output": outputs}),
    st.fixed_dictionaries({"error": st.builds(Failure, texts, texts)}),
)


@st.composite
def results(draw: st.DrawFn) -> Result:
    outcome = {"top": (), "error": None, **draw(outcomes)}
    return Result(
        job=draw(jobs), name=draw(texts), model=draw(texts), worker=draw(texts),
        submitted_at=draw(moments), started_at=draw(moments), finished_at=draw(moments),
        reused_from=draw(st.none() | jobs), key=draw(st.none() | texts.filter(bool)), **outcome,
    )  # fmt: skip


reports = st.builds(
    Report, texts, st.sampled_from(WorkerState), moments,
    counts, counts, counts, st.floats(0, 1e6).map(lambda s: round(s, 6)),
    st.none() | st.floats(0, 1e6).map(lambda s: round(s, 3)),
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(requests)
def test_a_request_survives_encoding(request: Request) -> None:
    assert Request.decode(request.encode()) == request


@given(results())
def test_a_result_survives_encoding(result: Result) -> None:
    assert Result.decode(result.encode()) == result


@given(reports)
def test_a_report_survives_encoding(report: Report) -> None:
    assert Report.decode(report.encode()) == report


def test_a_report_of_an_older_worker_does_not_tell_the_age_of_what_it_holds() -> None:
    report = Report("w-1", WorkerState.BUSY, NOW, 3, 2, 1, 0.5, oldest_s=1.5)
    told = json.loads(report.encode())
    del told["oldest_s"]

    older = Report.decode(json.dumps(told))

    assert older == Report("w-1", WorkerState.BUSY, NOW, 3, 2, 1, 0.5)


@given(jobs)
def test_a_job_id_survives_being_written(job: JobId) -> None:
    assert JobId.parse(str(job)) == job


@given(st.text() | json_values.map(json.dumps))
def test_anything_else_is_a_decode_error_that_keeps_the_data(data: str) -> None:
    for kind in (Request, Result, Report):
        with pytest.raises(DecodeError) as caught:
            kind.decode(data)
        assert caught.value.data == data


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("v", 2, "field 'v' must be 1"),
        ("job", 7, "field 'job' must be a string"),
        ("job", "cat", "not a job id: 'cat'"),
        ("name", None, "field 'name' must be a string"),
        ("top", {}, "field 'top' must be a list"),
        ("top", ["cat"], "expected a JSON object"),
        ("top", [{"label": "cat", "score": "high"}], "field 'score' must be a number"),
        ("top", [{"label": "cat", "score": float("nan")}], "field 'score' must be a number"),
        ("top", [], "a result has either predictions, an output or an error"),
        ("output", {}, "either predictions, an output or an error"),
        ("output", [1], "field 'output' must be an object"),
        ("error", {"code": "broken", "message": "it is"}, "either predictions, an output or an"),
        ("key", 7, "field 'key' must be a string"),
        ("reused_from", "cat", "not a job id: 'cat'"),
        ("submitted_at", "yesterday", "field 'submitted_at' must be an ISO 8601 time"),
        ("submitted_at", "2026-01-31T12:00:00", "field 'submitted_at' must carry a time zone"),
    ],
)
def test_the_wrong_field_is_named(field: str, value: object, complaint: str) -> None:
    # given a good result with one field spoiled
    good = Result(JOB, "cat.jpg", (Prediction("tabby", 0.9),), None, "net@1", "w1", NOW, NOW, NOW)
    spoiled = json.dumps({**json.loads(good.encode()), field: value})

    with pytest.raises(DecodeError, match=complaint):
        Result.decode(spoiled)


def test_a_result_says_whose_answer_it_is_only_where_it_is_not_its_own() -> None:
    own = Result(JOB, "cat.jpg", (Prediction("tabby", 0.9),), None, "net@1", "w1", NOW, NOW, NOW)

    assert "reused_from" not in json.loads(own.encode())
    assert json.loads(replace(own, reused_from=JOB).encode())["reused_from"] == str(JOB)


def test_a_result_tells_a_key_only_where_its_job_does_not() -> None:
    own = Result(JOB, "cat.jpg", (Prediction("tabby", 0.9),), None, "net@1", "w1", NOW, NOW, NOW)

    # what was written before there was a key, and what is read by who knows of none
    assert "key" not in json.loads(own.encode())
    assert Result.decode(own.encode()).key is None
    assert json.loads(replace(own, key="inbox/cat.jpg").encode())["key"] == "inbox/cat.jpg"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0192f3c4-5d6e-7f80-8123-456789abcdef",
        "0192f3c4-5d6e-7f80-8123-456789abcdef-7",
        "0192f3c4-5d6e-7f80-8123-456789abcdef-00007",
        "0192F3C4-5D6E-7F80-8123-456789ABCDEF-0007",
        "0192f3c4-5d6e-7f80-8123-456789abcdef-0007\n",
        "../0192f3c4-5d6e-7f80-8123-456789abcdef-0007",
        "0192f3c4-5d6e-7f80-8123-456789abcdef-٠٠٠٧",
    ],
)
def test_a_job_has_only_one_spelling(text: str) -> None:
    with pytest.raises(DecodeError, match="not a job id"):
        JobId.parse(text)


def test_batch_ids_sort_by_the_time_they_were_made() -> None:
    made = [new_batch_id() for _ in range(1000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(st.text(max_size=2000))
def test_a_request_with_any_file_name_stays_under_one_kibibyte(name: str) -> None:
    cleaned = clean_name(name)
    request = Request(JOB, f"{JOB.batch}/0007-{'k' * 100}", cleaned, "q" * 80, NOW)

    # 1 KiB, but for quotes and backslashes, which JSON doubles
    assert len(request.encode().encode()) < 1024


def test_a_result_is_done_with_predictions_or_an_output_and_failed_with_an_error() -> None:
    done = Result(JOB, "cat.jpg", (Prediction("tabby", 0.9),), None, "net@1", "w", NOW, NOW, NOW)
    failure = Failure("truncated", "the file ends too early")
    failed = Result(JOB, "cat.jpg", (), failure, "net@1", "w", NOW, NOW, NOW)

    assert (done.status, done.label, done.score) == (Status.DONE, "tabby", 0.9)
    answered = Result(JOB, "cat.jpg", (), None, "sizes@1", "w", NOW, NOW, NOW, output={})
    assert (answered.status, answered.label, answered.score) == (Status.DONE, None, None)
    assert (failed.status, failed.label, failed.score) == (Status.FAILED, None, None)


@given(st.text())
def test_sqs_takes_whatever_a_result_says(text: str) -> None:
    result = Result(JOB, "a", (), None, "ocr@1", "w", NOW, NOW, NOW, output={"text": text})

    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    refused = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
    assert not refused.search(result.encode())
    assert Result.decode(result.encode()) == result


def test_a_result_with_an_output_can_be_a_key() -> None:
    result = Result(JOB, "a", (), None, "sizes@1", "w", NOW, NOW, NOW, output={"sides": [1, 2]})

    assert {result} == {result}
