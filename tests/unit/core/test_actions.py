"""SQS's actions called past boto3's client: signed, tried again and refused as it would."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import boto3
import pytest
from botocore import auth
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from botocore.exceptions import BotoCoreError, ClientError
from moto.core.botocore_stubber import MockRawResponse

import s3_server
from imagefleet_core.actions import Actions
from imagefleet_core.aws import Aws, error_code
from imagefleet_core.connections import Connections
from s3_server import REGION, SECRETS, Handler, S3Server, refuse_action

ASKED: dict[str, Any] = {"QueueUrl": "https://sqs/1/q", "MaxNumberOfMessages": 10}


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def actions(s3: S3Server, pauses: list[float]) -> Actions:
    """Actions that are tried thrice."""
    sqs = Aws(boto3.Session("test", SECRETS["test"], region_name=REGION), attempts=3).sqs(1)
    return Actions(sqs, pauses.append)


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "cn-north-1"])
def test_a_call_is_signed_as_boto3_signs_it(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    now = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now)
    sqs = Aws(boto3.Session("AKID", "secret", "token", region_name=region)).sqs(1)
    theirs = sent_by_boto3(sqs, lambda: sqs.receive_message(**ASKED))

    method, path, ours, body = sent_by_us(
        monkeypatch, lambda: Actions(sqs).call("ReceiveMessage", **ASKED)
    )

    assert (method, f"https://{ours['host']}{path}") == (theirs.method, theirs.url)
    assert json.loads(body) == json.loads(str(theirs.body, "utf-8"))  # type: ignore[arg-type]
    signed = {name.lower(): _text(value) for name, value in theirs.headers.items()}
    for name, value in ours.items():
        # of other bytes than boto3's, which has blanks in its JSON
        if name.lower() != "authorization":
            assert signed.get(name.lower(), value) == value
    known, _, signature = ours["Authorization"].rpartition("Signature=")
    assert f"Credential=AKID/20260131/{region}/sqs/aws4_request" in known
    assert len(signature) == 64


def sent_by_boto3(sqs: Any, call: Callable[[], object]) -> AWSPreparedRequest:
    sent: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **event: object) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), MockRawResponse(b"{}"))

    sqs.meta.events.register_first("before-send.sqs", keep)
    call()
    return sent[0]


def sent_by_us(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]
) -> tuple[str, str, dict[str, str], bytes]:
    class Sent(Exception):
        pass

    def keep(_: Connections, method: str, path: str, headers: Any, content: bytes) -> NoReturn:
        raise Sent(method, path, headers, content)

    monkeypatch.setattr(Connections, "send", keep)
    with pytest.raises(Sent) as caught:
        call()
    return caught.value.args


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_one_connection_does_for_many_calls(actions: Actions, s3: S3Server) -> None:
    url = actions.call("CreateQueue", QueueName="cats")["QueueUrl"]
    for number in range(3):
        actions.call("SendMessage", QueueUrl=url, MessageBody=f"Kätzchen {number} 猫")

    received = actions.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
    assert {message["Body"] for message in received["Messages"]} == {
        f"Kätzchen {number} 猫" for number in range(3)
    }
    assert s3.connections == 1


@pytest.mark.parametrize(
    "fault",
    [
        refuse_action(500, "InternalError", "oh"),
        refuse_action(503, "ServiceUnavailable", "oh"),
        refuse_action(403, "RequestThrottled", "slower"),
        refuse_action(400, "ThrottlingException", "slower"),
        lambda handler: handler.send(502, b"<html>Bad Gateway</html>"),
        s3_server.hang_up,
        s3_server.break_off(100, b'{"QueueUrls": [', reset=False),
    ],
)
def test_what_passes_is_tried_again(
    actions: Actions, s3: S3Server, pauses: list[float], fault: s3_server.Fault
) -> None:
    s3.faults += [fault, fault]

    assert actions.call("ListQueues").get("QueueUrls", []) == []

    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("status", "headers", "body", "code", "message"),
    [
        (
            400,
            {},
            {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no"},
            "QueueDoesNotExist",
            "no",
        ),
        (
            400,
            {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"},
            {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no"},
            "AWS.SimpleQueueService.NonExistentQueue",
            "no",
        ),
        (
            403,
            {},
            {"__type": "AccessDeniedException", "Message": "not you"},
            "AccessDeniedException",
            "not you",
        ),
        (
            400,
            {},
            {"__type": "InvalidClientTokenId:http://x", "message": 5},
            "InvalidClientTokenId",
            "5",
        ),
        (413, {}, None, "413", "Request Entity Too Large"),
        (404, {}, ["?"], "404", "Not Found"),
    ],
)
def test_a_refusal_is_the_error_that_boto3_raises(
    actions: Actions,
    s3: S3Server,
    status: int,
    headers: dict[str, str],
    body: object,
    code: str,
    message: str,
) -> None:
    content = b"<html>what?</html>" if body is None else json.dumps(body).encode()
    s3.faults.append(lambda handler: handler.send(status, content, headers))

    with pytest.raises(ClientError, match=message) as caught:
        actions.call("SendMessage", QueueUrl="u", MessageBody="m")

    assert error_code(caught.value) == code
    assert caught.value.operation_name == "SendMessage"


@pytest.mark.parametrize("body", [b"<html>welcome to our proxy</html>", b"[]", b'"ok"'])
def test_an_answer_that_is_no_json_object_is_an_error(
    actions: Actions, s3: S3Server, body: bytes
) -> None:
    s3.faults += [lambda handler: handler.send(200, body)] * 3

    with pytest.raises(BotoCoreError, match="the answer is not"):
        actions.call("ListQueues")


def test_a_message_that_was_stored_though_the_answer_was_lost_is_sent_again(
    actions: Actions, s3: S3Server
) -> None:
    url = actions.call("CreateQueue", QueueName="cats")["QueueUrl"]

    def store_it_and_fall_silent(handler: Handler) -> None:
        handler._ask_moto()
        handler.reset()

    s3.faults.append(store_it_and_fall_silent)
    actions.call("SendMessage", QueueUrl=url, MessageBody="cat")

    received = actions.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == ["cat", "cat"]


def test_a_wrong_secret_is_never_taken(s3: S3Server) -> None:
    sqs = Aws(boto3.Session("test", "not the secret", region_name=REGION)).sqs(1)

    with pytest.raises(ClientError):
        Actions(sqs).call("ListQueues")
