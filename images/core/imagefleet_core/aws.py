"""boto3 clients whose time-outs, retries and pools are chosen on purpose.

Which AWS answers is boto3's own business: `AWS_ENDPOINT_URL`, `AWS_DEFAULT_REGION`, credentials
and profiles are read by boto3 as everywhere, so an emulator is a setting and never a branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
)

from imagefleet_core.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CONNECT_TIMEOUT_S = 3
# SQS holds a long poll open for at most 20 s; the answer needs some time on top of that.
SQS_READ_TIMEOUT_S = 30
S3_READ_TIMEOUT_S = 20
# `CreateFleet` answers once all is launched or refused, which takes seconds for each zone.
EC2_READ_TIMEOUT_S = 30
# One try and four retries with exponential backoff and jitter: under 10 s in all for an error
# that answers at once, long enough for a 503 SlowDown to pass.
MAX_ATTEMPTS = 5

# Codes that no waiting will cure.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_ABSENT = {"NoSuchBucket", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}
_FORBIDDEN = {"AccessDenied", "AccessDeniedException", "403"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN_KEY = {"InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
# A region other than the bucket's was asked, or signed for.
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "301"}
_LASTING = _ABSENT | _FORBIDDEN | _EXPIRED | _UNKNOWN_KEY | _ELSEWHERE


class Aws:
    """Makes the clients of one process; each is safe to share between threads.

    Args:
        session: region and credentials; boto3's own search for them unless given.
        attempts: how often a call is tried, the first time included.
        silent_s: how long a call may be silent, but for long polls; a while unless given.
    """

    def __init__(
        self,
        session: boto3.Session | None = None,
        *,
        attempts: int = MAX_ATTEMPTS,
        silent_s: float = S3_READ_TIMEOUT_S,
    ) -> None:
        self._session = session or boto3.Session()
        self._attempts = attempts
        self._silent_s = silent_s

    def s3(self, connections: int) -> S3Client:
        """Return an S3 client that holds up to `connections` connections open."""
        # Some regions' forms boto3 would sign the old way, which no bucket since 2020 takes.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingAWSSDK.html
        config = self._config(self._silent_s, connections).merge(Config(signature_version="s3v4"))
        with _connecting("S3"):
            return self._session.client("s3", config=config)

    def sqs(self, connections: int, *, polling: bool = True) -> SQSClient:
        """Return an SQS client that holds up to `connections` connections open.

        Args:
            polling: whether it is for long polls too, which are silent for longer.
        """
        silent_s = SQS_READ_TIMEOUT_S if polling else self._silent_s
        with _connecting("SQS"):
            return self._session.client("sqs", config=self._config(silent_s, connections))

    def ec2(self) -> EC2Client:
        """Return an EC2 client; launching may be silent for a while."""
        with _connecting("EC2"):
            return self._session.client("ec2", config=self._config(EC2_READ_TIMEOUT_S, 1))

    def cloudformation(self) -> CloudFormationClient:
        """Return a CloudFormation client."""
        with _connecting("CloudFormation"):
            return self._session.client("cloudformation", config=self._config(30, 1))

    def _config(self, read_timeout_s: float, connections: int) -> Config:
        return Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=read_timeout_s,
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": self._attempts},
            # An emulator's host name has no subdomain a bucket; S3 itself takes both styles.
            s3={"addressing_style": "path"},
            # TCP and TLS already check every byte; a checksum more is CPU spent on each image.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent_extra="imagefleet",
        )


def error_code(error: Exception) -> str:
    """Return the AWS error code of a `ClientError`, or an empty string."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


@contextmanager
def _connecting(service: str) -> Iterator[None]:
    doing = f"connecting to {service}"
    try:
        with explained(doing):
            yield
    except ValueError as error:
        hint = "check AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"
        raise Misconfigured(f"{doing}: {error}: {hint}") from error


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn whatever boto3 raises inside into one `Unavailable` that a person understands.

    It is `Misconfigured` where trying again is of no use until a person has done something.

    Args:
        doing: what was being tried, to stand before the reason: "storing cat.jpg".
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        kind = Misconfigured if _lasts(error) else Unavailable
        raise kind(f"{doing}: {explain(error)}") from error


def _lasts(error: BotoCoreError | ClientError) -> bool:
    kinds = (NoCredentialsError, PartialCredentialsError, NoRegionError)
    return isinstance(error, kinds) or error_code(error) in _LASTING


def explain(error: BotoCoreError | ClientError) -> str:
    """Say in one line what went wrong with AWS and what would be right."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return (
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a "
                "profile with AWS_PROFILE, or give the instance a role"
            )
        case NoRegionError():
            return "no AWS region: set AWS_DEFAULT_REGION, for example eu-central-1"
        case EndpointConnectionError() | ConnectTimeoutError():
            return f"nothing answers at {error.kwargs.get('endpoint_url', 'the AWS endpoint')}"
        case ProxyConnectionError():
            proxy, reason = error.kwargs.get("proxy_url"), error.kwargs.get("error")
            return f"the proxy {proxy} does not connect: {reason}"
        case ReadTimeoutError() | ConnectionClosedError():
            return f"{error.kwargs.get('endpoint_url', 'the AWS endpoint')} stopped answering"
        case ClientError():
            return _explain_code(error)
    return str(error)


def _explain_code(error: ClientError) -> str:
    code, operation = error_code(error), error.operation_name
    said = error.response.get("Error", {}).get("Message", "")
    if code == "NoSuchBucket":
        return "the bucket does not exist: apply infra/data.yaml first, or check the prefix"
    if code in _ABSENT:
        return "the queue does not exist: apply infra/data.yaml first, or check the prefix"
    if code in _FORBIDDEN:
        return f"the credentials do not permit {operation}: {said}"
    if code in _EXPIRED:
        return "the AWS credentials have expired: log in again"
    if code in _UNKNOWN_KEY:
        return "AWS does not know these credentials: check the access key and its secret"
    if code in _ELSEWHERE:
        region = error.response["Error"].get("Region", "that of the bucket")
        return f"the bucket is in another region: set AWS_DEFAULT_REGION to {region}"
    return f"{operation} answered {code}: {said}"
