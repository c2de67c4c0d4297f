"""Connections to one server: urllib3's, with proxies and certificates found where boto3 finds them.

Errors are botocore's, so that whoever calls AWS knows one kind only.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import unquote, urlsplit

from botocore import exceptions as ours
from botocore.httpsession import get_cert_path
from botocore.session import get_session
from botocore.utils import get_environ_proxies
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Retry, Timeout, make_headers
from urllib3 import exceptions as theirs

from imagefleet_core.errors import Misconfigured

# However slowly it comes, a body that was asked for is here by then or not at all.
BODY_S = 120.0
# Each block that is sent has as much time as a connection may take to come about.
_BLOCK_BYTES = 64 * 1024
_ONCE = Retry(False)
# As `botocore.httpsession` has them.
_KINDS: tuple[tuple[type[theirs.HTTPError], type[ours.BotoCoreError]], ...] = (
    (theirs.SSLError, ours.SSLError),
    (theirs.NewConnectionError, ours.EndpointConnectionError),
    (theirs.ConnectTimeoutError, ours.ConnectTimeoutError),
    (theirs.TimeoutError, ours.ReadTimeoutError),
    (theirs.ProtocolError, ours.ConnectionClosedError),
)


class Connections:
    """Connections to one server, kept open and used again; safe to share between threads.

    Args:
        origin: the server's URL, up to and without its path.
        connect_s: how long a connection may take to come about.
        silent_s: how long it may be silent after that.
        idle: how many are kept while nobody uses them.

    Raises:
        Misconfigured: the environment names an unusable proxy or file of certificates.
    """

    def __init__(self, origin: str, *, connect_s: float, silent_s: float, idle: int) -> None:
        secure = origin.startswith("https:")
        options: dict[str, Any] = {
            "timeout": Timeout(connect=connect_s, read=silent_s),
            "maxsize": idle,
            "ssl_context": _trust() if secure else None,
        }
        self._origin = origin
        self._proxy, known = _proxy_for(origin)
        manager = (
            ProxyManager(self._proxy, proxy_headers=known, **options)
            if self._proxy
            else PoolManager(**options)
        )
        self._pool = manager.connection_from_url(origin)
        self._prefix = origin if self._proxy and not secure else ""

    def send(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | IO[bytes]
    ) -> Reply:
        """Send a request and return its answer, whose body has not been read.

        Args:
            content: a file is sent from where it stands to its end.

        Raises:
            botocore.exceptions.ConnectionError, HTTPClientError: no answer came.
            ValueError: a header holds a line break.
        """
        body: Any = content or None
        if not isinstance(content, bytes):
            length = _length(content)
            body, headers = _blocks(content, length), {**headers, "content-length": str(length)}
        with self.explained():
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                body,
                headers,
                _ONCE,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
            return Reply(self, response)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn urllib3's errors into botocore's."""
        try:
            yield
        except theirs.ProxyError as error:
            reason = error.original_error
            raise ours.ProxyConnectionError(proxy_url=self._proxy, error=reason) from error
        except theirs.HTTPError as error:
            kinds = (kind for other, kind in _KINDS if isinstance(error, other))
            kind = next(kinds, ours.HTTPClientError)
            raise kind(endpoint_url=self._origin, error=error) from error


class Reply:
    """An answer whose connection is free again once its body was read to the end.

    Attributes:
        headers: by their names in any case.
        length: the body's size in bytes, or None where only its end will tell.
    """

    def __init__(self, home: Connections, response: BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.length = response.length_remaining
        self._home = home
        self._response = response
        whole = self.length is not None or response.chunked
        if not whole and self.status < HTTPStatus.MULTIPLE_CHOICES:
            response.close()
            raise theirs.ProtocolError("no telling where the body ends: cut within its headers?")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._response.close()

    def read(self, at_most: int) -> bytes:
        """Return the body, or its first `at_most` bytes; to be called once.

        Raises:
            botocore.exceptions.HTTPClientError: it did not come to its end, or not in time.
        """
        ends_at = time.monotonic() + BODY_S
        body = io.BytesIO()  # grows in place, where a list of pieces would be copied in the end
        left = at_most
        with self._home.explained():
            while left and (piece := self._response.read1(min(left, _BLOCK_BYTES))):
                if time.monotonic() > ends_at:
                    raise theirs.TimeoutError("the body took too long")
                left -= body.write(piece)
        return body.getvalue()


def _length(file: IO[bytes]) -> int:
    start = file.tell()
    length = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    return length


def _blocks(file: IO[bytes], length: int) -> Iterator[bytes]:
    """Return as much of a file as was announced, block by block."""
    left = length
    while left and (block := file.read(min(left, _BLOCK_BYTES))):
        left -= len(block)
        yield block
    if left:
        raise theirs.ProtocolError(f"the file ended {left:,} bytes early while it was sent")


def _trust() -> ssl.SSLContext:
    """Return a TLS context that trusts whom boto3 trusts: `AWS_CA_BUNDLE`, or its own list."""
    bundle = get_session().get_config_variable("ca_bundle")
    try:
        context = ssl.create_default_context(cafile=get_cert_path(bundle or True))
    except OSError as error:
        raise Misconfigured(f"reading the certificates in {bundle}: {error}") from error
    # Python 3.13 became stricter about the form of certificates than boto3 is.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _proxy_for(origin: str) -> tuple[str, dict[str, str]]:
    """Return the proxy that the environment names, if any, and the headers that it asks for.

    `NO_PROXY` is honoured. Name and password are in the headers, and nowhere else.
    """
    scheme = urlsplit(origin).scheme
    named = get_environ_proxies(origin).get(scheme)
    if not named:
        return "", {}
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    url = f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"
    if proxy.scheme != "http" or not proxy.hostname:
        raise Misconfigured(f"{scheme.upper()}_PROXY: {url} must be like http://host:port")
    if proxy.username is None:
        return url, {}
    known = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return url, make_headers(proxy_basic_auth=known)
