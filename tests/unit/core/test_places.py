from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import boto3
import pytest
from botocore import auth
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse

from imagefleet_core.aws import Aws
from imagefleet_core.connections import Connections
from imagefleet_core.objects import Objects
from imagefleet_core.places import find, find_sqs

KEYS = [
    "b/1-cat.jpg",
    "inbox/a cat.jpg",
    "inbox/Kätzchen 猫.jpg",
    "inbox//./../~(1)*'!+%20&=?#.jpg",
]


def sent_by(s3: Any, call: Callable[[], object]) -> AWSPreparedRequest:
    """Return the request that boto3 would have sent."""
    sent: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **event: object) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), MockRawResponse(b""))

    s3.meta.events.register_first("before-send.s3", keep)
    call()
    s3.meta.events.unregister("before-send.s3", keep)
    return sent[0]


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture(params=["eu-central-1", "us-east-1", "cn-north-1", "aws-global"])
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return Aws(boto3.Session("AKID", "secret", "token", region_name=request.param)).s3(1)


class Sent(Exception):
    """Instead of an answer."""


@pytest.fixture
def sent_by_us(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[Any]]:
    """Returns method, path and headers of what a call would have sent."""

    def send(call: Callable[[], object]) -> list[Any]:
        with pytest.raises(Sent) as caught:
            call()
        return list(caught.value.args)

    def keep(_: Connections, method: str, path: str, headers: Any, content: bytes) -> NoReturn:
        raise Sent(method, path, headers)

    monkeypatch.setattr(Connections, "send", keep)
    now = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now)
    return send


def assert_same(theirs: AWSPreparedRequest, ours: list[Any]) -> None:
    method, path, headers = ours
    assert (method, path) == (theirs.method, theirs.url[theirs.url.index("/", 8) :])
    signed = {name.lower(): text(value) for name, value in theirs.headers.items()}
    assert headers["Authorization"] == signed["authorization"]
    for name, value in headers.items():
        assert signed.get(name.lower(), value) == value


@pytest.mark.parametrize("key", KEYS)
def test_a_get_is_signed_as_boto3_signs_it(s3: Any, key: str, sent_by_us: Any) -> None:
    theirs = sent_by(s3, lambda: s3.get_object(Bucket="input", Key=key))

    assert_same(theirs, sent_by_us(lambda: Objects(s3).get("input", key)))


@pytest.mark.parametrize("key", KEYS)
def test_a_get_of_a_range_is_signed_as_boto3_signs_it(s3: Any, key: str, sent_by_us: Any) -> None:
    wanted = "bytes=524288-1048575"
    theirs = sent_by(s3, lambda: s3.get_object(Bucket="input", Key=key, Range=wanted))

    ours = sent_by_us(lambda: Objects(s3).get("input", key, wanted))

    assert ours[2]["range"] == wanted
    assert_same(theirs, ours)


@pytest.mark.parametrize("key", KEYS)
def test_a_put_is_signed_as_boto3_signs_it(s3: Any, key: str, sent_by_us: Any) -> None:
    told = {"Bucket": "input", "Key": key, "Body": b"cat", "ContentType": "image/jpeg"}
    theirs = sent_by(s3, lambda: s3.put_object(**told, IfNoneMatch="*"))

    ours = sent_by_us(lambda: Objects(s3).put("input", key, b"cat", "image/jpeg", only_new=True))

    assert_same(theirs, ours)


@pytest.mark.parametrize(
    ("environ", "origin", "host"),
    [
        ({}, "https://s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
        (
            {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "https://s3.dualstack.eu-west-1.amazonaws.com",
            "s3.dualstack.eu-west-1.amazonaws.com",
        ),
        (
            {"AWS_ENDPOINT_URL": "http://localstack:4566"},
            "http://localstack:4566",
            "localstack:4566",
        ),
        ({"AWS_ENDPOINT_URL_S3": "https://minio:443/"}, "https://minio:443", "minio"),
        ({"AWS_ENDPOINT_URL_S3": "http://[::1]:9000"}, "http://[::1]:9000", "[::1]:9000"),
    ],
)
def test_a_bucket_is_where_boto3_says(
    environ: dict[str, str], origin: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    s3 = Aws(boto3.Session("AKID", "secret", region_name="eu-west-1")).s3(1)

    place = find(s3, "input")

    assert (place.origin, place.host, place.path) == (origin, host, "/input")
    assert place.region == "eu-west-1"


@pytest.mark.parametrize(
    ("environ", "origin", "path"),
    [
        ({}, "https://sqs.eu-west-1.amazonaws.com", ""),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "https://sqs-fips.eu-west-1.amazonaws.com", ""),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://sqs.eu-west-1.api.aws", ""),
        ({"AWS_ENDPOINT_URL": "http://localstack:4566"}, "http://localstack:4566", ""),
        ({"AWS_ENDPOINT_URL_SQS": "https://proxy/aws/sqs"}, "https://proxy", "/aws/sqs"),
    ],
)
def test_sqs_is_where_boto3_says(
    environ: dict[str, str], origin: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    sqs = Aws(boto3.Session("AKID", "secret", region_name="eu-west-1")).sqs(1)

    place = find_sqs(sqs)

    assert (place.origin, place.path, place.region) == (origin, path, "eu-west-1")
