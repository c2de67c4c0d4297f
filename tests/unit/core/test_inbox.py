import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_core import keys
from imagefleet_core.errors import DecodeError
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import JobId

BATCH = "0192f3c4-5d6e-7f80-8123-456789abcdef"


def event(key: str, sequencer: str = "0055AED6DCD90281E5", **changes: Any) -> str:
    """Write an S3 event as AWS sends it."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-01-31T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": "imagefleet-input"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8", "sequencer": sequencer},
        },
        **changes,
    }
    return json.dumps({"Records": [record]})


def test_an_upload_to_the_inbox_is_a_request() -> None:
    (request,) = decode_requests(event("inbox/my+cat+%28old%29.jpg"))

    assert request.key == "inbox/my cat (old).jpg"
    assert request.name == "my cat (old).jpg"
    assert request.reply_to is None
    assert JobId.parse(str(request.job)) == request.job


def test_the_same_event_twice_names_the_same_job_and_another_upload_another() -> None:
    first, again = decode_requests(event("inbox/a.jpg")), decode_requests(event("inbox/a.jpg"))
    other_key = decode_requests(event("inbox/b.jpg"))
    other_upload = decode_requests(event("inbox/a.jpg", sequencer="0055AED6DCD90281E6"))

    assert first == again
    assert len({first[0].job, other_key[0].job, other_upload[0].job}) == 3


def test_an_upload_with_a_form_is_the_job_in_its_key() -> None:
    first, again = (
        decode_requests(event(f"inbox/{BATCH}/0012-K%C3%A4se+2.jpg", sequencer=sequencer))
        for sequencer in ("0055AED6DCD90281E5", "0055AED6DCD90281E6")
    )

    assert first == again
    assert (first[0].job, first[0].name) == (JobId(BATCH, 12), "Käse 2.jpg")
    assert first[0].key == keys.inbox_key(JobId(BATCH, 12), "Käse 2.jpg")


@pytest.mark.parametrize(
    "key",
    [
        f"inbox/{BATCH}/0000-a.jpg",  # numbers count from 1
        f"inbox/{BATCH}/1-a.jpg",
        f"inbox/{BATCH}/10000-a.jpg",
        f"inbox/{BATCH}/0001-",
        f"inbox/{BATCH}/0001-a/b.jpg",
        f"inbox/{BATCH.upper()}/0001-a.jpg",
        "inbox/0192f3c4-5d6e-4f80-8123-456789abcdef/0001-a.jpg",  # no UUIDv7
        f"inbox/x/{BATCH}/0001-a.jpg",
    ],
)
def test_an_upload_to_any_other_key_is_a_job_of_its_own(key: str) -> None:
    (request,) = decode_requests(event(key))

    assert request.job.batch != BATCH
    assert (request.key, request.job.number) == (key, 1)


def test_jobs_from_events_sort_by_the_time_of_the_upload() -> None:
    early = decode_requests(event("inbox/a.jpg", eventTime="2026-01-31T12:00:00.000Z"))
    late = decode_requests(event("inbox/a.jpg", eventTime="2026-01-31T12:00:00.001Z"))

    assert early[0].job < late[0].job


def test_the_test_event_at_set_up_asks_for_nothing() -> None:
    assert decode_requests(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})) == []


def test_an_event_outside_the_inbox_is_refused() -> None:
    with pytest.raises(DecodeError, match="outside inbox/"):
        decode_requests(event("secrets/a.jpg"))


@given(st.text() | st.dictionaries(st.text(), st.text()).map(json.dumps))
def test_anything_else_is_a_decode_error(body: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_requests(body)

    assert caught.value.data == body
