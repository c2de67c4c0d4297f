"""Where buckets and queues are and who signs for them, as boto3 knows it from its settings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from botocore.auth import BaseSigner

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """How to reach a bucket, or SQS.

    Attributes:
        origin: the URL of its server, without a path.
        host: the server as a request names it.
        path: what stands before `/` and whatever follows, percent-encoded.
        signer: returns one with the credentials of the moment; made anew for each request, so
            that credentials which expire are renewed in time.
    """

    origin: str
    host: str
    path: str
    region: str
    signer: Callable[[], BaseSigner]


def find(s3: S3Client, bucket: str) -> Place:
    """Return where a bucket is.

    Raises:
        BotoCoreError: region or credentials are missing, or make no sense.
    """
    sign = partial(s3.generate_presigned_url, "head_bucket", Params={"Bucket": bucket})
    return _look(s3, sign, "before-sign.s3.HeadBucket", "s3", "s3v4")


def find_sqs(sqs: SQSClient) -> Place:
    """Return where SQS is; raises `BotoCoreError` as `find` does."""
    sign = partial(sqs.generate_presigned_url, "list_queues")
    return _look(sqs, sign, "before-sign.sqs.ListQueues", "sqs", "v4")


def _look(
    client: S3Client | SQSClient, sign: Callable[[], str], event: str, service: str, version: str
) -> Place:
    """Let boto3 sign a request that is never sent, and look at it.

    So endpoints of any kind, and credentials that renew themselves, are what they are for boto3.
    """
    signing: dict[str, Any] = {}
    me = threading.get_ident()

    def look(**event: Any) -> None:
        if threading.get_ident() == me:
            signing.update(event)

    client.meta.events.register(event, look)
    try:
        server = urlsplit(sign())
    finally:
        client.meta.events.unregister(event, look)
    region = signing["request"].context.get("signing", {}).get("region") or signing["region_name"]
    return Place(
        origin=f"{server.scheme}://{server.netloc}",
        host=_host(server),
        path=server.path.rstrip("/"),
        region=region,
        signer=partial(signing["request_signer"].get_auth_instance, service, region, version),
    )


def _host(server: SplitResult) -> str:
    """Return the host as botocore signs it: in lower case, a port only where it is no default."""
    name = server.hostname or ""
    name = f"[{name}]" if ":" in name else name
    usual = server.port in (None, _PORTS[server.scheme])
    return name if usual else f"{name}:{server.port}"
