from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

import fakes
from imagefleet_core.aws import Aws
from imagefleet_core.queues import Queues, SqsQueues
from imagefleet_core.store import S3Store, Store


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """AWS as moto plays it inside this process."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield Aws(boto3.Session("test", "test", region_name="eu-central-1"))


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """The fake store and the real one."""
    if request.param == "memory":
        return fakes.MemoryStore()
    aws: Aws = request.getfixturevalue("aws")
    s3 = aws.s3(1)
    for bucket in ("input", "results"):
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
    return S3Store(s3, input_bucket="input", results_bucket="results")


@pytest.fixture(params=["memory", "sqs"])
def queues(request: pytest.FixtureRequest) -> Queues:
    """The fake queues and the real ones."""
    if request.param == "memory":
        return fakes.MemoryQueues()
    aws: Aws = request.getfixturevalue("aws")
    return SqsQueues(aws.sqs(1))
