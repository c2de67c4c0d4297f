"""Objects of S3 fetched and stored at a third of the CPU that boto3 takes for it.

A worker fetches one object and stores one for each image, so what these two cost is what the
whole fleet pays. boto3's own parts do the work, without its general machinery for any call of any
service: its endpoint rules, its signer, its HTTP client. Errors are the ones that boto3 raises.
"""

from __future__ import annotations

import html
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import responses
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, SSLError
from botocore.exceptions import ConnectionError as NoConnectionError

from imagefleet_core.connections import Connections, Reply
from imagefleet_core.places import Place, find

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# As botocore waits in its "standard" mode: a random part of 1, 2, 4… seconds.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_LONGEST_PAUSE_S = 20.0
# An error's body is a few hundred bytes of XML.
_ERROR_BYTES = 64 * 1024
_PASSING_STATUS = {429, 500, 502, 503, 504}
# The last one answers a conditional write while another write is under way.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_PASSING_CODES = {
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "OperationAborted",
    "ConditionalRequestConflict",
}
_METHODS = {"GetObject": "GET", "PutObject": "PUT", "HeadBucket": "HEAD"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_UNSIGNED = Config(s3={"payload_signing_enabled": False})
_FIELD = re.compile(r"<(Code|Message|Region)>([^<]*)</\1>")


class Objects:
    """Gets and puts objects; safe to share between threads.

    Args:
        s3: says where buckets are, who signs, how often a call is tried and how long it may take.
        pause: waits for so many seconds before a call is tried again.
    """

    def __init__(self, s3: S3Client, pause: Callable[[float], object] = time.sleep) -> None:
        self._s3 = s3
        self._pause = pause
        meta: Any = s3.meta  # the stubs of its configuration know none of the attributes
        self._config = meta.config
        self._attempts: int = self._config.retries["total_max_attempts"]
        self._lock = threading.Lock()
        self._sites: dict[str, _Site] = {}
        self._connections: dict[str, Connections] = {}

    def get(self, bucket: str, key: str, wanted: str = "") -> Reply:
        """Return the answer whose body is the object; it has to be entered and left.

        Args:
            wanted: a range of bytes, such as `bytes=0-99`; all of them where none is given.

        Raises:
            ClientError, BotoCoreError: as `S3Client.get_object` does.
        """
        headers = {"range": wanted} if wanted else _NO_HEADERS
        return self._call("GetObject", bucket, f"/{quote(key)}", headers)

    def put(
        self,
        bucket: str,
        key: str,
        content: bytes | IO[bytes],
        content_type: str,
        *,
        only_new: bool = False,
        replacing: str = "",
    ) -> str:
        """Store an object and return its ETag.

        Args:
            content: a file is sent from where it stands, which needs it to be able to seek.
            only_new: refuse, with the code `PreconditionFailed`, where there is one already.
            replacing: refuse, with that code or `NoSuchKey`, where there is not the one of this
                ETag.

        Raises:
            ClientError, BotoCoreError: as `S3Client.put_object` does.
        """
        headers = {"content-type": content_type}
        if only_new:
            headers["if-none-match"] = "*"
        if replacing:
            headers["if-match"] = replacing
        with self._call("PutObject", bucket, f"/{quote(key)}", headers, content) as reply:
            reply.read(_ERROR_BYTES)
            return reply.headers.get("etag", "")

    def look(self, bucket: str) -> None:
        """Return if the bucket is there and these credentials may use it.

        Raises:
            ClientError, BotoCoreError: as `S3Client.head_bucket` does.
        """
        with self._call("HeadBucket", bucket, "") as reply:
            reply.read(_ERROR_BYTES)

    def _call(
        self,
        operation: str,
        bucket: str,
        path: str,
        headers: Mapping[str, str] = _NO_HEADERS,
        content: bytes | IO[bytes] = b"",
    ) -> Reply:
        site = self._site(bucket)
        place, method = site.place, _METHODS[operation]
        path = place.path + path
        headers = {"host": place.host, **headers}
        request = AWSRequest(method, place.origin + path, headers, content)
        start = 0
        if not isinstance(content, bytes):
            start = content.tell()
            if place.origin.startswith("https:"):  # then TLS protects it, and it is read once only
                request.context["client_config"] = _UNSIGNED
        attempt = 0
        while True:
            attempt += 1
            place.signer().add_auth(request)
            try:
                reply = site.connections.send(method, path, dict(request.headers.items()), content)
                if reply.status < HTTPStatus.MULTIPLE_CHOICES:
                    return reply
                raise _refusal(operation, reply, place.region)
            except (ClientError, NoConnectionError, HTTPClientError) as error:
                if attempt >= self._attempts or not _passes(error):
                    raise
            longest_s = min(2.0 ** (attempt - 1), _LONGEST_PAUSE_S)
            self._pause(random.random() * longest_s)  # noqa: S311  # spreads load, hides nothing
            if not isinstance(content, bytes):
                content.seek(start)

    def _site(self, bucket: str) -> _Site:
        site = self._sites.get(bucket)
        if site is None:
            with self._lock:  # one thread looks for it, and the others find what it found
                site = self._sites.get(bucket) or self._find(bucket)
                self._sites[bucket] = site
        return site

    def _find(self, bucket: str) -> _Site:
        place = find(self._s3, bucket)
        connections = self._connections.get(place.origin) or self._connect(place.origin)
        self._connections[place.origin] = connections
        return _Site(place, connections)

    def _connect(self, origin: str) -> Connections:
        return Connections(
            origin,
            connect_s=self._config.connect_timeout,
            silent_s=self._config.read_timeout,
            idle=self._config.max_pool_connections,
        )


@dataclass(frozen=True, slots=True)
class _Site:
    """A bucket's place and the connections to it, which buckets of one server share."""

    place: Place
    connections: Connections


def _refusal(operation: str, reply: Reply, region: str) -> ClientError:
    """Return the error that boto3 would raise for such an answer."""
    with reply:
        text = reply.read(_ERROR_BYTES).decode("utf-8", "replace")
    found = {name: html.unescape(value) for name, value in _FIELD.findall(text)}
    error = {"Code": str(reply.status), "Message": responses.get(reply.status, ""), **found}
    home = reply.headers.get("x-amz-bucket-region", region)
    if home != region and reply.status in {301, 307, 400}:
        error |= {"Code": "PermanentRedirect", "Region": home}
    told = {"HTTPStatusCode": reply.status, "RequestId": reply.headers.get("x-amz-request-id", "")}
    response: Any = {"Error": error, "ResponseMetadata": told}
    return ClientError(response, operation)


def _passes(error: Exception) -> bool:
    """Return whether the same call may well succeed a moment later."""
    if isinstance(error, ClientError):
        return (
            error.response["Error"]["Code"] in _PASSING_CODES
            or error.response["ResponseMetadata"]["HTTPStatusCode"] in _PASSING_STATUS
        )
    return not isinstance(error, SSLError)
