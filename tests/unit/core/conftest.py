from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

import fakes
import s3_server
from imagefleet_core.aws import Aws
from imagefleet_core.queues import Queues
from imagefleet_core.s3 import S3Store
from imagefleet_core.sqs import SqsQueues
from imagefleet_core.store import Store
from s3_server import REGION, S3Server


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """AWS as moto plays it inside this process, but for what is sent without boto3."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield Aws(boto3.Session("test", s3_server.SECRETS["test"], region_name=REGION))


@pytest.fixture
def s3(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """S3 and SQS over a socket; `aws` uses them too, with a bucket for images and for results."""
    with S3Server() as server:
        for service in ("S3", "SQS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        for bucket in ("input", "results"):
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(bucket, REGION)
        yield server


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """The fake store and the real one."""
    if request.param == "memory":
        return fakes.MemoryStore()
    request.getfixturevalue("s3")
    aws: Aws = request.getfixturevalue("aws")
    return S3Store(aws.s3(1), input_bucket="input", results_bucket="results")


@pytest.fixture(params=["memory", "sqs"])
def queues(request: pytest.FixtureRequest) -> Queues:
    """The fake queues and the real ones."""
    if request.param == "memory":
        return fakes.MemoryQueues()
    request.getfixturevalue("s3")
    aws: Aws = request.getfixturevalue("aws")
    return SqsQueues(aws.sqs(1))
