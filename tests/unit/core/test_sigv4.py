from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError
from moto.core.botocore_stubber import MockRawResponse

from imagefleet_core.aws import Aws
from imagefleet_core.places import find
from imagefleet_core.sigv4 import EMPTY_SHA256, Signer

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


def authorization(s3: Any, like: AWSPreparedRequest, key: str, content: str, **more: str) -> str:
    """Sign as we do at the second when boto3 signed."""
    place = find(s3, "input")
    assert like.url == f"{place.origin}{place.path}/{quote(key)}"
    stamp = datetime.strptime(text(like.headers["X-Amz-Date"]), "%Y%m%dT%H%M%SZ")  # noqa: DTZ007
    now_s = stamp.replace(tzinfo=UTC).timestamp()
    headers = {"host": place.host, **{n.replace("_", "-"): v for n, v in more.items()}}
    path = f"{place.path}/{quote(key)}"
    return place.signer.sign(like.method, path, headers, content, now_s)["authorization"]


@pytest.mark.parametrize("key", KEYS)
def test_a_get_is_signed_as_boto3_signs_it(s3: Any, key: str) -> None:
    sent = sent_by(s3, lambda: s3.get_object(Bucket="input", Key=key))

    assert authorization(s3, sent, key, EMPTY_SHA256) == text(sent.headers["Authorization"])


@pytest.mark.parametrize("key", KEYS)
def test_a_put_is_signed_as_boto3_signs_it(s3: Any, key: str) -> None:
    sent = sent_by(
        s3,
        lambda: s3.put_object(
            Bucket="input", Key=key, Body=b"cat", ContentType="image/jpeg", IfNoneMatch="*"
        ),
    )

    told = {"content_type": "image/jpeg", "if_none_match": "*"}
    ours = authorization(s3, sent, key, sha256(b"cat").hexdigest(), **told)

    assert ours == text(sent.headers["Authorization"])


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
    assert place.signer.region == "eu-west-1"


def test_credentials_are_asked_for_again_for_every_request() -> None:
    known = iter([ReadOnlyCredentials("A", "a", None), ReadOnlyCredentials("B", "b", "token")])
    signer = Signer("eu-west-1", lambda: next(known))

    first = signer.sign("GET", "/input/a", {"host": "s3"}, EMPTY_SHA256, now_s=0)
    second = signer.sign("GET", "/input/a", {"host": "s3"}, EMPTY_SHA256, now_s=0)

    assert "Credential=A/19700101/eu-west-1/s3/aws4_request" in first["authorization"]
    assert "x-amz-security-token" not in first
    assert "Credential=B/19700101/eu-west-1/s3/aws4_request" in second["authorization"]
    assert second["x-amz-security-token"] == "token"


def test_the_signing_key_changes_with_the_day() -> None:
    once = Signer("eu-west-1", lambda: ReadOnlyCredentials("A", "a", None))
    again = Signer("eu-west-1", lambda: ReadOnlyCredentials("A", "a", None))

    once.sign("GET", "/input/a", {"host": "s3"}, EMPTY_SHA256, now_s=86_399)
    next_day = once.sign("GET", "/input/a", {"host": "s3"}, EMPTY_SHA256, now_s=86_400)

    assert next_day == again.sign("GET", "/input/a", {"host": "s3"}, EMPTY_SHA256, now_s=86_400)


def test_nothing_is_signed_without_credentials() -> None:
    with pytest.raises(NoCredentialsError):
        Signer("eu-west-1", lambda: None).sign("GET", "/input/a", {"host": "s3"}, EMPTY_SHA256)
