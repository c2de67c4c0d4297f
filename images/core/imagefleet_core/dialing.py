"""How a connection to a server comes about: directly or through a proxy, with TLS or without.

Proxies and certificates are found where boto3 finds them; errors are botocore's, so that whoever
calls AWS knows one kind only.
"""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urlsplit

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    SSLError,
)
from botocore.httpsession import get_cert_path
from botocore.session import get_session
from botocore.utils import get_environ_proxies

from imagefleet_core.errors import Misconfigured
from imagefleet_core.http11 import Connection, ProtocolError

_PORTS = {"http": 80, "https": 443}


class Dialer:
    """Makes connections to the server of a URL.

    Args:
        origin: the URL, up to and without its path.
        connect_s: how long a connection may take to come about.
        silent_s: how long it may be silent after that.
        answer_s: how long an answer may take until its body is asked for, and how long its body.

    Raises:
        Misconfigured: the environment names an unusable proxy or file of certificates.
    """

    def __init__(self, origin: str, *, connect_s: float, silent_s: float, answer_s: float) -> None:
        self.origin = origin
        self._server = urlsplit(origin)
        self._proxy = _proxy_for(self._server)
        self._tls = _trust() if self._server.scheme == "https" else None
        self._connect_s = connect_s
        self._silent_s = silent_s
        self._answer_s = answer_s

    def address(self, path: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Return the target and the headers of a request for `path`."""
        if self._proxy and not self._tls:
            return f"{self.origin}{path}", {**headers, **_proxy_headers(self._proxy)}
        return path, headers

    def dial(self) -> Connection:
        """Return a new connection.

        Raises:
            botocore.exceptions.ConnectionError: there is none, or none to be trusted.
        """
        link = self._connect()
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                link = self._secure(link, self._tls)
            link.settimeout(self._silent_s)
        except BaseException:
            link.close()
            raise
        return Connection(link, self._answer_s)

    def _connect(self) -> socket.socket:
        nearest = self._proxy or self._server
        port = nearest.port or _PORTS[nearest.scheme]
        try:
            return socket.create_connection((nearest.hostname or "", port), self._connect_s)
        except OSError as error:
            if self._proxy:
                raise _proxy_error(self._proxy, error) from error
            slow = isinstance(error, TimeoutError)
            kind = ConnectTimeoutError if slow else EndpointConnectionError
            raise kind(endpoint_url=self.origin, error=error) from error

    def _secure(self, link: socket.socket, tls: ssl.SSLContext) -> socket.socket:
        if self._proxy:
            self._tunnel(link, self._proxy)
        with self._explained():
            return tls.wrap_socket(link, server_hostname=self._server.hostname)

    def _tunnel(self, link: socket.socket, proxy: SplitResult) -> None:
        name, port = self._server.hostname or "", self._server.port or _PORTS["https"]
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        headers = {"host": target, **_proxy_headers(proxy)}
        with self._explained():
            answer = Connection(link, self._connect_s).request("CONNECT", target, headers)
        if answer.status != HTTPStatus.OK:
            raise _proxy_error(proxy, f"it answered {answer.status} to CONNECT {target}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=self.origin, error=error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=self.origin, error=error) from error
        except (OSError, ProtocolError) as error:
            raise ConnectionClosedError(endpoint_url=self.origin, error=error) from error


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


def _proxy_for(server: SplitResult) -> SplitResult | None:
    """Return the proxy that the environment names for this server; `NO_PROXY` is honoured."""
    url = get_environ_proxies(server.geturl()).get(server.scheme)
    if not url:
        return None
    proxy = urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http" or not proxy.hostname:
        name = f"{server.scheme.upper()}_PROXY"
        raise Misconfigured(f"{name}: {_without_secrets(proxy)} must be like http://host:port")
    return proxy


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    known = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"proxy-authorization": f"Basic {b64encode(known.encode()).decode()}"}


def _proxy_error(proxy: SplitResult, reason: object) -> ProxyConnectionError:
    return ProxyConnectionError(proxy_url=_without_secrets(proxy), error=reason)


def _without_secrets(proxy: SplitResult) -> str:
    return f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"
