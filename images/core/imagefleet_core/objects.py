"""Objects of S3 fetched and stored at a third of the CPU that boto3 takes for it.

A worker fetches one object and stores one for each image, and the web tier stores one, so what
these two cost is what the whole system pays.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Mapping
from http.client import responses
from threading import Lock
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from botocore.exceptions import ClientError

from imagefleet_core.calls import Call, Calls, Site
from imagefleet_core.connections import Reply
from imagefleet_core.places import Place, find

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

# An error's body is a few hundred bytes of XML.
_ERROR_BYTES = 64 * 1024
_METHODS = {"GetObject": "GET", "PutObject": "PUT", "HeadBucket": "HEAD"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_FIELD = re.compile(r"<(Code|Message|Region)>([^<]*)</\1>")


class Objects:
    """Gets and puts objects; safe to share between threads.

    Args:
        s3: says where buckets are, who signs, how often a call is tried and how long it may take.
        pause: waits for so many seconds before a call is tried again.
    """

    def __init__(self, s3: S3Client, pause: Callable[[float], object] = time.sleep) -> None:
        self._s3 = s3
        self._calls = Calls(s3, _refusal, pause)
        self._lock = Lock()
        self._sites: dict[str, Site] = {}

    def get(self, bucket: str, key: str, wanted: str = "") -> Reply:
        """Return the answer whose body is the object; it has to be entered and left.

        Args:
            wanted: a range of bytes, such as `bytes=0-99`; all of them where none is given.

        Raises:
            ClientError, BotoCoreError: as `S3Client.get_object` does.
        """
        headers = {"range": wanted} if wanted else _NO_HEADERS
        return self._call("GetObject", bucket, f"/{quote(key)}", _as_it_is, headers)

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
        return self._call("PutObject", bucket, f"/{quote(key)}", _etag, headers, content)

    def look(self, bucket: str) -> None:
        """Return if the bucket is there and these credentials may use it.

        Raises:
            ClientError, BotoCoreError: as `S3Client.head_bucket` does.
        """
        self._call("HeadBucket", bucket, "", _etag)

    def _call(
        self,
        operation: str,
        bucket: str,
        path: str,
        take: Callable[[Reply], T],
        headers: Mapping[str, str] = _NO_HEADERS,
        content: bytes | IO[bytes] = b"",
    ) -> T:
        call = Call(_METHODS[operation], path, headers, content)
        return self._calls.make(operation, self._site(bucket), call, take)

    def _site(self, bucket: str) -> Site:
        site = self._sites.get(bucket)
        if site is None:
            with self._lock:  # one thread looks for it, and the others find what it found
                site = self._sites.get(bucket) or self._calls.site(find(self._s3, bucket))
                self._sites[bucket] = site
        return site


def _as_it_is(reply: Reply) -> Reply:
    return reply


def _etag(reply: Reply) -> str:
    with reply:
        reply.read(_ERROR_BYTES)
        return reply.headers.get("etag", "")


def _refusal(operation: str, reply: Reply, place: Place) -> ClientError:
    """Return the error that boto3 would raise for such an answer."""
    with reply:
        text = reply.read(_ERROR_BYTES).decode("utf-8", "replace")
    found = {name: html.unescape(value) for name, value in _FIELD.findall(text)}
    error = {"Code": str(reply.status), "Message": responses.get(reply.status, ""), **found}
    home = reply.headers.get("x-amz-bucket-region", place.region)
    if home != place.region and reply.status in {301, 307, 400}:
        error |= {"Code": "PermanentRedirect", "Region": home}
    told = {"HTTPStatusCode": reply.status, "RequestId": reply.headers.get("x-amz-request-id", "")}
    response: Any = {"Error": error, "ResponseMetadata": told}
    return ClientError(response, operation)
