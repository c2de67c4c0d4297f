"""What infra/data.yaml makes, seen on a running emulator."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from imagefleet_core.aws import Aws
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import Request
from imagefleet_core.settings import Settings
from imagefleet_core.sqs import SqsQueue, SqsQueues
from imagefleet_core.stack import StackError, apply
from imagefleet_scripts import emulator

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

pytestmark = pytest.mark.embedded

NUMBERS = itertools.count(1)
TEMPLATE = (Path(__file__).parents[2] / "infra/data.yaml").read_text()


@dataclass(frozen=True)
class Data:
    """A stack of the template's own, so that no test sees another's queues."""

    aws: Aws
    settings: Settings

    def apply(self, **parameters: str) -> dict[str, str]:
        """Create or update the stack."""
        return apply(
            self.aws.cloudformation(),
            f"{self.settings.prefix}-data",
            TEMPLATE,
            {"Prefix": self.settings.prefix, **parameters},
            timeout_s=30,
        )

    def queue(self, name: str) -> SqsQueue:
        """Open one of the stack's queues."""
        return SqsQueues(self.aws.sqs(1)).open(name)

    def attributes(self, name: str) -> dict[QueueAttributeNameType, str]:
        """Return all that is set on a queue."""
        sqs = self.aws.sqs(1)
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    def requests(self) -> list[Request]:
        """Take what waits in the requests queue, as a worker would."""
        queue = self.queue(self.settings.requests_queue)
        messages = queue.receive(wait_s=2, visibility_s=60)
        queue.delete([message.receipt for message in messages])
        return [each for message in messages for each in decode_requests(message.body)]


@pytest.fixture
def unused(ministack: str, monkeypatch: pytest.MonkeyPatch) -> Data:
    """A stack that is not there yet."""
    return connect(ministack, monkeypatch)


@pytest.fixture
def data(unused: Data) -> Data:
    """A stack that is ready."""
    unused.apply()
    return unused


def connect(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Data:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    aws = Aws(boto3.Session("test", "test", region_name="us-east-1"))
    return Data(aws, Settings(prefix=f"test-{next(NUMBERS)}"))


def test_the_outputs_are_the_names_that_the_settings_expect(unused: Data) -> None:
    assert unused.apply() == {
        "InputBucket": unused.settings.input_bucket,
        "ResultsBucket": unused.settings.results_bucket,
        "RequestsQueue": unused.settings.requests_queue,
        "DeadLetterQueue": unused.settings.dead_letter_queue,
        "TelemetryQueue": unused.settings.telemetry_queue,
    }


def test_buckets_are_private_and_encrypted(data: Data) -> None:
    s3 = data.aws.s3(1)
    for bucket in (data.settings.input_bucket, data.settings.results_bucket):
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        owner = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])

        assert set(blocked.values()) == {True}
        assert rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert owner["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_queues_poll_long_and_keep_messages_as_long_as_they_should(data: Data) -> None:
    requests = data.attributes(data.settings.requests_queue)
    dead = data.attributes(data.settings.dead_letter_queue)
    telemetry = data.attributes(data.settings.telemetry_queue)

    assert requests["VisibilityTimeout"] == "60"
    assert [int(each["MessageRetentionPeriod"]) for each in (requests, dead, telemetry)] == [
        4 * 24 * 3600,
        14 * 24 * 3600,
        5 * 60,
    ]
    for queue in (requests, dead, telemetry):
        assert queue["ReceiveMessageWaitTimeSeconds"] == "20"
        assert queue["SqsManagedSseEnabled"] == "true"


def test_a_request_received_too_often_becomes_a_dead_letter(data: Data) -> None:
    data.apply(MaxReceives="2")
    requests = data.queue(data.settings.requests_queue)
    while messages := requests.receive(wait_s=0, visibility_s=60):  # S3's test events
        requests.delete([message.receipt for message in messages])
    requests.send(["poison"])

    tries = [len(requests.receive(wait_s=0, visibility_s=0)) for _ in range(3)]

    assert tries == [1, 1, 0]
    (letter,) = data.queue(data.settings.dead_letter_queue).receive(wait_s=2, visibility_s=60)
    assert letter.body == "poison"


def test_an_upload_to_the_inbox_becomes_a_request(data: Data) -> None:
    s3 = data.aws.s3(1)
    for key in ("elsewhere/cat.jpg", "inbox/Grüne Katze +1.jpg"):
        s3.put_object(Bucket=data.settings.input_bucket, Key=key, Body=b"...")

    # The first messages may be no more than S3's test events.
    found = data.requests() or data.requests()

    assert [request.key for request in found] == ["inbox/Grüne Katze +1.jpg"]


def test_pages_of_other_origins_upload_to_the_bucket_only_where_they_are_named(
    unused: Data,
) -> None:
    s3, bucket = unused.aws.s3(1), unused.settings.input_bucket
    unused.apply()
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)

    unused.apply(AllowedOrigins="https://pictures.example,http://127.0.0.1:8080")

    (rule,) = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    assert rule["AllowedOrigins"] == ["https://pictures.example", "http://127.0.0.1:8080"]
    assert rule["AllowedMethods"] == ["POST"]


def test_only_the_input_bucket_may_send_to_the_requests_queue(data: Data) -> None:
    policy = json.loads(data.attributes(data.settings.requests_queue)["Policy"])

    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "000000000000"},
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{data.settings.input_bucket}"},
    }


def test_applying_twice_keeps_what_lies_in_buckets_and_queues(data: Data) -> None:
    data.aws.s3(1).put_object(Bucket=data.settings.input_bucket, Key="b/1.jpg", Body=b"...")
    data.queue(data.settings.telemetry_queue).send(["report"])

    data.apply()
    data.apply(VisibilitySeconds="61")

    assert data.attributes(data.settings.requests_queue)["VisibilityTimeout"] == "61"
    assert data.queue(data.settings.telemetry_queue).counts().visible == 1
    data.aws.s3(1).head_object(Bucket=data.settings.input_bucket, Key="b/1.jpg")


def test_a_parameter_left_out_of_an_update_returns_to_its_default(data: Data) -> None:
    data.apply(VisibilitySeconds="61")

    data.apply()

    assert data.attributes(data.settings.requests_queue)["VisibilityTimeout"] == "60"


def test_a_parameter_out_of_range_is_refused_with_its_range(unused: Data) -> None:
    with pytest.raises(StackError, match=r"InputDays.* 1"):
        unused.apply(InputDays="0")


def test_a_bucket_that_is_there_already_is_named(unused: Data) -> None:
    unused.aws.s3(1).create_bucket(Bucket=unused.settings.input_bucket)

    with pytest.raises(StackError, match=rf"InputBucket: .*{unused.settings.input_bucket}"):
        unused.apply()


def test_buckets_outlive_their_stack(data: Data) -> None:
    s3 = data.aws.s3(1)
    s3.put_object(Bucket=data.settings.results_bucket, Key="b/0001.json", Body=b"{}")

    data.aws.cloudformation().delete_stack(StackName=f"{data.settings.prefix}-data")

    s3.head_object(Bucket=data.settings.results_bucket, Key="b/0001.json")
    assert data.aws.sqs(1).list_queues(QueueNamePrefix=data.settings.prefix)["QueueUrls"] == []


def test_data_outlives_a_restart_of_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an image and a report in an emulator that keeps what it holds
    first = emulator.start(tmp_path, keep=True)
    data = connect(first.endpoint, monkeypatch)
    names = data.apply()
    data.aws.s3(1).put_object(Bucket=data.settings.input_bucket, Key="b/1.jpg", Body=b"...")
    data.queue(data.settings.telemetry_queue).send(["report"])

    # when it is stopped and another one starts in the same folder, on another port
    first.process.terminate()
    assert first.process.wait(10) == 0
    second = emulator.start(tmp_path, keep=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", second.endpoint)

    # then the stack needs no change, and image and report are there
    try:
        assert data.apply() == names
        data.apply(VisibilitySeconds="61")
        data.aws.s3(1).head_object(Bucket=data.settings.input_bucket, Key="b/1.jpg")
        (report,) = data.queue(data.settings.telemetry_queue).receive(wait_s=2, visibility_s=60)
        assert report.body == "report"
        assert data.attributes(data.settings.requests_queue)["VisibilityTimeout"] == "61"
    finally:
        second.process.terminate()
        second.process.wait(10)
