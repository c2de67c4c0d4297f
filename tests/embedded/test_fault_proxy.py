"""The fault proxy does to calls what it is told to, and nothing else."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from fault_kinds import (
    Conflict,
    Denied,
    Dripping,
    Duplicate,
    Expired,
    Garbled,
    Hold,
    InternalError,
    Lost,
    Refused,
    Reorder,
    Reset,
    Short,
    SlowDown,
    Throttled,
    Unanswered,
)
from fault_proxy import FaultProxy
from system import wait_for

pytestmark = pytest.mark.embedded

NUMBERS = itertools.count(1)
BODY = bytes(range(256)) * 400
TIMEOUT_S = 60


class Callers:
    """boto3 as it is without retries, through a proxy and past it, on a bucket and a queue."""

    def __init__(self, proxy: FaultProxy, emulator: str, left: ExitStack) -> None:
        self.proxy = proxy
        self._left = left
        self.name = f"proxied-{next(NUMBERS)}"
        self.s3, self.sqs = self.client("s3", proxy.url), self.client("sqs", proxy.url)
        self.s3_past, self.sqs_past = self.client("s3", emulator), self.client("sqs", emulator)
        self.s3.create_bucket(Bucket=self.name)
        self.queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]

    def client(self, service: str, endpoint: str, timeout_s: float = TIMEOUT_S) -> Any:
        client = boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="embedded",
            aws_secret_access_key="embedded",
            config=Config(
                read_timeout=timeout_s,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self._left.callback(client.close)
        return client

    def put(self, key: str = "key", body: bytes = BODY, **more: Any) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=body, **more)

    def get(self, key: str = "key") -> bytes:
        with closing(self.s3.get_object(Bucket=self.name, Key=key)["Body"]) as body:
            read: bytes = body.read()
        return read

    def stored(self, key: str = "key") -> bytes:
        with closing(self.s3_past.get_object(Bucket=self.name, Key=key)["Body"]) as body:
            read: bytes = body.read()
        return read

    def send(self, *bodies: str) -> None:
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
        self.sqs_past.send_message_batch(QueueUrl=self.queue, Entries=entries)

    def receive(self, most: int = 10, hidden_s: int = 60) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.queue,
            MaxNumberOfMessages=most,
            VisibilityTimeout=hidden_s,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def delete(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Delete messages; return the entries that failed."""
        entries = [
            {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]}
            for i, message in enumerate(messages)
        ]
        answer = self.sqs.delete_message_batch(QueueUrl=self.queue, Entries=entries)
        failed: list[dict[str, Any]] = answer.get("Failed", [])
        return failed

    def hide(self, message: dict[str, Any], hidden_s: int) -> list[dict[str, Any]]:
        entry = {
            "Id": "0",
            "ReceiptHandle": message["ReceiptHandle"],
            "VisibilityTimeout": hidden_s,
        }
        answer = self.sqs.change_message_visibility_batch(QueueUrl=self.queue, Entries=[entry])
        failed: list[dict[str, Any]] = answer.get("Failed", [])
        return failed

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible, and how many are in flight."""
        found = self.sqs_past.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])
        return (
            int(found["Attributes"]["ApproximateNumberOfMessages"]),
            int(found["Attributes"]["ApproximateNumberOfMessagesNotVisible"]),
        )


@pytest.fixture
def aws(ministack: str) -> Iterator[Callers]:
    with ExitStack() as left:
        proxy = left.enter_context(FaultProxy(ministack))
        yield Callers(proxy, ministack, left)


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [message["Body"] for message in messages]


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_without_faults_everything_goes_through(aws: Callers) -> None:
    aws.put()
    aws.send("one", "two")
    messages = aws.receive()

    assert aws.get() == BODY
    assert aws.s3.head_object(Bucket=aws.name, Key="key")["ContentLength"] == len(BODY)
    assert aws.s3.list_objects_v2(Bucket=aws.name)["KeyCount"] == 1
    assert bodies(messages) == ["one", "two"]
    assert aws.delete(*messages) == []
    assert aws.counts() == (0, 0)


def test_the_urls_of_queues_lead_through_it(aws: Callers) -> None:
    assert aws.queue.startswith(aws.proxy.url)
    assert aws.sqs.get_queue_url(QueueName=aws.name)["QueueUrl"] == aws.queue


def test_calls_have_their_names(aws: Callers) -> None:
    aws.put("a/b c")
    aws.get("a/b c")
    aws.s3.list_objects_v2(Bucket=aws.name)
    aws.s3.head_bucket(Bucket=aws.name)
    aws.s3.delete_object(Bucket=aws.name, Key="a/b c")
    aws.s3.delete_objects(Bucket=aws.name, Delete={"Objects": [{"Key": "a/b c"}]})
    aws.receive()

    assert aws.proxy.calls[-7:] == [
        "PutObject",
        "GetObject",
        "ListObjectsV2",
        "HeadBucket",
        "DeleteObject",
        "DeleteObjects",
        "ReceiveMessage",
    ]


def test_s3_slows_down(aws: Callers) -> None:
    aws.put()
    slow = aws.proxy.inject(SlowDown(calls={"GetObject"}, times=1))

    with pytest.raises(ClientError) as caught:
        aws.get()

    assert code(caught) == "SlowDown"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert aws.get() == BODY
    assert slow.count == 1


def test_an_internal_error_comes_before_or_after_the_deed(aws: Callers) -> None:
    aws.proxy.inject(InternalError(calls={"PutObject"}, times=1))
    with pytest.raises(ClientError, match="InternalError"):
        aws.put("before")
    aws.proxy.inject(InternalError(calls={"PutObject"}, times=1, done=True))
    with pytest.raises(ClientError, match="InternalError"):
        aws.put("after")

    assert aws.stored("after") == BODY
    with pytest.raises(ClientError, match="NoSuchKey"):
        aws.stored("before")


def test_sqs_throttles(aws: Callers) -> None:
    for each in ("RequestThrottled", "ThrottlingException"):
        aws.proxy.inject(Throttled(code=each, times=1))
        with pytest.raises(ClientError) as caught:
            aws.receive()
        assert code(caught) == each


def test_credentials_are_denied_what_they_ask_for(aws: Callers) -> None:
    aws.proxy.inject(Denied(calls={"PutObject"}))
    aws.proxy.inject(Denied(calls={"ReceiveMessage"}, code="InvalidClientTokenId"))

    with pytest.raises(ClientError, match="AccessDenied"):
        aws.put()
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        aws.receive()


def test_a_fault_spares_what_comes_before_it_and_elsewhere(aws: Callers) -> None:
    slow = aws.proxy.inject(SlowDown(calls={"PutObject"}, where=f"{aws.name}/hurt/", after=2))
    aws.proxy.inject(Throttled(where="another-queue"))

    for key in ("hurt/1", "hurt/2", "spared"):
        aws.put(key)
    with pytest.raises(ClientError, match="SlowDown"):
        aws.put("hurt/3")
    aws.put("spared")
    aws.receive()

    assert (slow.count, slow.spared) == (1, 2)


def test_lost_messages_were_taken(aws: Callers) -> None:
    lost = aws.proxy.inject(Lost(where=aws.name, times=1))
    entries = [{"Id": "0", "MessageBody": "lost"}, {"Id": "1", "MessageBody": "too"}]

    answer = aws.sqs.send_message_batch(QueueUrl=aws.queue, Entries=entries)

    assert [each["Id"] for each in answer["Successful"]] == ["0", "1"]
    assert lost.count == 1
    assert aws.counts() == (0, 0)


def test_only_writes_on_a_condition_conflict(aws: Callers) -> None:
    conflict = aws.proxy.inject(Conflict(times=1))
    aws.put()
    with pytest.raises(ClientError) as caught:
        aws.put("other", IfNoneMatch="*")
    assert code(caught) == "ConditionalRequestConflict"
    assert conflict.count == 1

    aws.put("other", IfNoneMatch="*")
    with pytest.raises(ClientError) as caught:
        aws.put("other", IfNoneMatch="*")
    assert code(caught) == "PreconditionFailed"


def test_a_share_of_the_calls_fails_the_same_ones_each_time(ministack: str) -> None:
    def failures(seed: int) -> list[bool]:
        failed = []
        with ExitStack() as left, FaultProxy(ministack, seed) as proxy:
            aws = Callers(proxy, ministack, left)
            aws.put(body=b"few")
            proxy.inject(SlowDown(share=0.3))
            for _ in range(30):
                try:
                    aws.get()
                    failed.append(False)
                except ClientError:
                    failed.append(True)
        return failed

    assert failures(1) == failures(1) != failures(2)
    assert 2 < sum(failures(1)) < 20


def test_a_reset_comes_after_half_of_the_body(aws: Callers) -> None:
    aws.put()
    reset = aws.proxy.inject(Reset(calls={"GetObject"}, times=1))

    with closing(aws.s3.get_object(Bucket=aws.name, Key="key")["Body"]) as body:
        assert body.read(1000) == BODY[:1000]
        with pytest.raises(ResponseStreamingError):
            body.read()

    assert reset.count == 1
    assert aws.get() == BODY


def test_a_short_body_ends_in_order(aws: Callers) -> None:
    aws.put()
    aws.proxy.inject(Short(times=1))

    with (
        closing(aws.s3.get_object(Bucket=aws.name, Key="key")["Body"]) as body,
        pytest.raises((IncompleteReadError, ResponseStreamingError)),
    ):
        body.read()


def test_a_garbled_object_looks_whole(aws: Callers) -> None:
    aws.put()
    aws.proxy.inject(Garbled(times=1))

    assert aws.get() == BODY[: len(BODY) // 2]
    assert aws.get() == BODY


def test_what_is_not_answered_was_done(aws: Callers) -> None:
    aws.proxy.inject(Unanswered(calls={"PutObject"}, times=1))

    with pytest.raises(ConnectionClosedError):
        aws.put()

    assert aws.stored() == BODY


def test_a_dripping_body_is_slow_and_whole(aws: Callers) -> None:
    aws.put()
    aws.proxy.inject(Dripping(seconds=0.4))
    began = time.monotonic()

    assert aws.get() == BODY
    assert time.monotonic() - began >= 0.35


def test_a_call_that_is_held_for_too_long_times_out(aws: Callers) -> None:
    held = aws.proxy.inject(Hold(calls={"GetObject"}, seconds=1.5, times=1))
    aws.put()
    impatient = aws.client("s3", aws.proxy.url, timeout_s=1)

    with pytest.raises(ReadTimeoutError):
        impatient.get_object(Bucket=aws.name, Key="key")
    assert held.count == 1
    assert aws.get() == BODY


def test_silence_holds_everything_and_ends(aws: Callers) -> None:
    began = time.monotonic()
    aws.proxy.silence(0.4)

    aws.put()

    assert time.monotonic() - began >= 0.4
    assert aws.stored() == BODY


def test_connections_are_refused_until_they_are_accepted_again(aws: Callers) -> None:
    aws.put()
    aws.proxy.refuse()
    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        aws.get()
    with pytest.raises(EndpointConnectionError):
        aws.get()

    aws.proxy.accept()
    assert aws.get() == BODY


def test_a_duplicate_comes_later_with_a_receipt_that_works(aws: Callers) -> None:
    twice = aws.proxy.inject(Duplicate(times=1))
    aws.send("one", "two")

    first, second = aws.receive()
    (again,) = aws.receive()

    assert again["MessageId"] == first["MessageId"]
    assert again["Body"] == "one"
    assert again["ReceiptHandle"] != first["ReceiptHandle"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert twice.count == 1
    # both receipts hide the message, and either deletes it
    assert aws.hide(first, 60) == aws.hide(again, 60) == []
    assert aws.delete(again) == []
    assert aws.counts() == (0, 1)
    assert aws.delete(first, second) == []
    assert aws.counts() == (0, 0)


def test_a_duplicate_may_come_after_its_message_is_gone(aws: Callers) -> None:
    aws.proxy.inject(Duplicate(after_s=0.2))
    aws.send("one")
    assert aws.delete(*aws.receive()) == []
    assert aws.proxy.kept() == 1

    again: list[dict[str, Any]] = []
    wait_for(lambda: again.extend(aws.receive()) or again, TIMEOUT_S)  # type: ignore[func-returns-value]

    assert bodies(again) == ["one"]
    assert aws.delete(*again) == []
    assert aws.proxy.kept() == 0


def test_reordered_messages_come_later_and_once(aws: Callers) -> None:
    late = aws.proxy.inject(Reorder(share=0.5, after_s=0.2))
    sent = [str(number) for number in range(10)]
    aws.send(*sent)

    first = aws.receive()
    assert aws.proxy.kept() == late.count == 10 - len(first) > 0
    then: list[dict[str, Any]] = []
    wait_for(lambda: then.extend(aws.receive()) or not aws.proxy.kept(), TIMEOUT_S)  # type: ignore[func-returns-value]

    assert bodies(first + then) != sent
    assert sorted(bodies(first + then)) == sent
    assert aws.delete(*first, *then) == []
    assert aws.counts() == (0, 0)


@pytest.mark.parametrize("call", ["delete", "hide"])
def test_an_expired_receipt_is_refused_for_good_and_the_message_is_there_again(
    aws: Callers, call: str
) -> None:
    expired = aws.proxy.inject(Expired(times=1))
    aws.send("one")
    (message,) = aws.receive()

    for _ in range(2):
        (failed,) = aws.delete(message) if call == "delete" else aws.hide(message, 60)
        assert (failed["Code"], failed["SenderFault"]) == ("ReceiptHandleIsInvalid", True)
    assert expired.count == 1
    assert aws.counts() == (1, 0)

    (again,) = aws.receive()
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert aws.delete(again) == []
    assert aws.counts() == (0, 0)


def test_a_refused_entry_may_be_tried_again(aws: Callers) -> None:
    aws.proxy.inject(Refused(times=1))
    aws.send("one", "two")
    messages = aws.receive()

    (failed,) = aws.delete(*messages)

    assert (failed["Id"], failed["SenderFault"]) == ("0", False)
    assert aws.counts() == (0, 1)
    assert aws.delete(*messages) == []
    assert aws.counts() == (0, 0)


def test_an_object_that_is_not_sent_to_the_end_is_not_stored(aws: Callers) -> None:
    port = int(aws.proxy.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        head = f"PUT /{aws.name}/half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        caller.sendall(head.encode() + b"half")

    aws.put("whole")
    assert [each["Key"] for each in aws.s3.list_objects_v2(Bucket=aws.name)["Contents"]] == [
        "whole"
    ]


def test_it_owns_up_to_its_own_failures(ministack: str) -> None:
    with ExitStack() as left:
        proxy = FaultProxy(ministack)
        aws = Callers(proxy, ministack, left)
        proxy.answer = _boom  # type: ignore[assignment]
        with pytest.raises(ConnectionClosedError):
            aws.put()

        with pytest.raises(AssertionError, match="the proxy failed"):
            proxy.__exit__(None, None, None)


def _boom(_call: object) -> None:
    raise RuntimeError
