"""Whoever may write to the results bucket may store anything there; its readers stay small."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from imagefleet_core import keys
from imagefleet_core.aws import Aws
from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId, Prediction, Result, new_batch_id
from imagefleet_core.s3 import MAX_RESULT_BYTES, S3Store
from s3_server import S3Server

NOW = datetime.now(UTC)
JOB = JobId(new_batch_id(), 1)


def stored(aws: Aws, size: int) -> S3Store:
    """Return a store with a result whose label takes so many bytes."""
    result = Result(
        JOB, "a.jpg", (Prediction("x" * size, 1.0),), None, "m@1", "w", NOW, NOW, NOW
    ).encode()
    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    bucket.put_object("results", keys.result_key(JOB), result.encode())
    return S3Store(aws.s3(1), input_bucket="input", results_bucket="results")


def test_of_an_endless_result_no_more_is_read_than_a_result_may_have(
    aws: Aws, s3: S3Server
) -> None:
    store = stored(aws, 8 * MAX_RESULT_BYTES)

    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            store.get_result(JOB)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # the server of this test, which is in the same process, holds it whole, and a copy of it
    assert s3.url
    assert most < 3 * 8 * MAX_RESULT_BYTES


def test_a_large_result_within_the_limit_is_read(aws: Aws, s3: S3Server) -> None:
    found = stored(aws, MAX_RESULT_BYTES // 4).get_result(JOB)

    assert s3.url
    assert found
    assert len(found.label or "") == MAX_RESULT_BYTES // 4
