"""Where a bucket is and who signs for it, as boto3 knows it from settings and endpoint rules."""

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

_PORTS = {"http": 80, "https": 443}
_EVENT = "before-sign.s3.HeadBucket"


@dataclass(frozen=True, slots=True)
class Place:
    """How to reach a bucket.

    Attributes:
        origin: the URL of its server, without a path.
        host: the server as a request names it.
        path: what stands before `/` and a key, percent-encoded.
        signer: returns one with the credentials of the moment; made anew for each request, so
            that credentials which expire are renewed in time.
    """

    origin: str
    host: str
    path: str
    region: str
    signer: Callable[[], BaseSigner]


def find(s3: S3Client, bucket: str) -> Place:
    """Let boto3 sign a request for a bucket that is never sent, and look at it.

    So endpoints of any kind, and credentials that renew themselves, are what they are for boto3.

    Raises:
        BotoCoreError: region or credentials are missing, or make no sense.
    """
    signing: dict[str, Any] = {}
    me = threading.get_ident()

    def look(**event: Any) -> None:
        if threading.get_ident() == me:
            signing.update(event)

    s3.meta.events.register(_EVENT, look)
    try:
        url = s3.generate_presigned_url("head_bucket", Params={"Bucket": bucket})
    finally:
        s3.meta.events.unregister(_EVENT, look)
    server = urlsplit(url)
    region = signing["request"].context.get("signing", {}).get("region") or signing["region_name"]
    return Place(
        origin=f"{server.scheme}://{server.netloc}",
        host=_host(server),
        path=server.path.rstrip("/"),
        region=region,
        signer=partial(signing["request_signer"].get_auth_instance, "s3", region, "s3v4"),
    )


def _host(server: SplitResult) -> str:
    """Return the host as botocore signs it: in lower case, a port only where it is no default."""
    name = server.hostname or ""
    name = f"[{name}]" if ":" in name else name
    usual = server.port in (None, _PORTS[server.scheme])
    return name if usual else f"{name}:{server.port}"
