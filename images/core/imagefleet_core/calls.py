"""Signed calls to AWS at a third of the CPU that boto3's clients take for them.

boto3's own parts do the work, without its general machinery for any call of any service: its
endpoint rules, its signer, its HTTP client. Errors are the ones that boto3 raises, and what may
pass is tried again as in its "standard" mode.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import IO, Any, TypeVar

from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, SSLError
from botocore.exceptions import ConnectionError as NoConnectionError

from imagefleet_core.connections import Connections, Reply
from imagefleet_core.places import Place

T = TypeVar("T")

# As botocore waits in its "standard" mode: a random part of 1, 2, 4… seconds.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_LONGEST_PAUSE_S = 20.0
_PASSING_STATUS = {429, 500, 502, 503, 504}
# Of these, the last two answer a conditional write to S3 while another write is under way.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
_PASSING_CODES = {
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "KmsThrottled",
    "OperationAborted",
    "ConditionalRequestConflict",
}
_UNSIGNED = Config(s3={"payload_signing_enabled": False})


@dataclass(frozen=True, slots=True)
class Site:
    """A place and the connections to it, which all places of one server share."""

    place: Place
    connections: Connections


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a site.

    Attributes:
        path: percent-encoded, behind that of the place.
        content: a file is sent from where it stands, which needs it to be able to seek.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes | IO[bytes] = b""


class Calls:
    """Makes the calls of one service; safe to share between threads.

    Args:
        client: says how often a call is tried, how long it may take and how many connections are
            kept.
        refusal: returns the error that boto3 would raise for an answer, given the place it is of.
        pause: waits for so many seconds before a call is tried again.
    """

    def __init__(
        self,
        client: Any,
        refusal: Callable[[str, Reply, Place], ClientError],
        pause: Callable[[float], object],
    ) -> None:
        self._config = client.meta.config
        self._attempts: int = self._config.retries["total_max_attempts"]
        self._refusal = refusal
        self._pause = pause
        self._lock = Lock()
        self._connections: dict[str, Connections] = {}

    def site(self, place: Place) -> Site:
        """Return a place with the connections to its server.

        Raises:
            Misconfigured: the environment names an unusable proxy or file of certificates.
        """
        with self._lock:
            connections = self._connections.get(place.origin) or self._connect(place.origin)
            self._connections[place.origin] = connections
        return Site(place, connections)

    def make(self, operation: str, site: Site, call: Call, take: Callable[[Reply], T]) -> T:
        """Make a call, again where that may help, and return what `take` makes of its answer.

        Raises:
            ClientError, BotoCoreError: as boto3 raises them.
        """
        place, content = site.place, call.content
        path = place.path + call.path
        headers = {"host": place.host, **call.headers}
        request = AWSRequest(call.method, place.origin + path, headers, content)
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
                signed = dict(request.headers.items())
                reply = site.connections.send(call.method, path, signed, content)
                if reply.status < HTTPStatus.MULTIPLE_CHOICES:
                    return take(reply)
                raise self._refusal(operation, reply, place)
            except (ClientError, NoConnectionError, HTTPClientError) as error:
                if attempt >= self._attempts or not _passes(error):
                    raise
            longest_s = min(2.0 ** (attempt - 1), _LONGEST_PAUSE_S)
            self._pause(random.random() * longest_s)  # noqa: S311  # spreads load, hides nothing
            if not isinstance(content, bytes):
                content.seek(start)

    def _connect(self, origin: str) -> Connections:
        return Connections(
            origin,
            connect_s=self._config.connect_timeout,
            silent_s=self._config.read_timeout,
            idle=self._config.max_pool_connections,
        )


def _passes(error: Exception) -> bool:
    """Return whether the same call may well succeed a moment later."""
    if isinstance(error, ClientError):
        return (
            error.response["Error"]["Code"] in _PASSING_CODES
            or error.response["ResponseMetadata"]["HTTPStatusCode"] in _PASSING_STATUS
        )
    return not isinstance(error, SSLError)
