"""Serves instance metadata over HTTP; who asks is known by its address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_machines.imds.metadata import Metadata
from imagefleet_machines.imds.tokens import LONGEST_S, Tokens, ttl

TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105  # a header's name
TTL = f"{TOKEN}-ttl-seconds"
TOKEN_PATH = "/latest/api/token"  # noqa: S105  # a path
# Nobody has a reason to be slower.
REQUEST_S = 10

log = structlog.get_logger()


class MetadataServer(ThreadingHTTPServer):
    """Answers machines until it is closed.

    Args:
        whose: returns the instance at an address, None if there is none.
        host: the address to answer at; `port` 0 takes a free one.
    """

    daemon_threads = True

    def __init__(
        self,
        metadata: Metadata,
        whose: Callable[[str], str | None],
        *,
        host: str,
        port: int,
    ) -> None:
        super().__init__((host, port), _Asked)
        self.metadata = metadata
        self.tokens = Tokens()
        self._whose = whose

    def caller(self, address: str) -> str | None:
        """Return the instance at an address, None if nobody knows."""
        try:
            return self._whose(address)
        except ImagefleetError as error:
            log.warning("nobody knows who asks", address=address, reason=str(error))
            return None

    @contextmanager
    def running(self) -> Iterator[MetadataServer]:
        """Answer as long as the context lasts."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class _Asked(BaseHTTPRequestHandler):
    """One connection of a machine."""

    server: MetadataServer
    timeout = REQUEST_S
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""

    def do_PUT(self) -> None:
        """Give a token, which is bound to the instance that has the address now."""
        self.close_connection = True  # there may be a body, which nobody reads
        seconds = ttl(self.headers.get(TTL, ""))
        if urlsplit(self.path).path != TOKEN_PATH:
            self._say(HTTPStatus.NOT_FOUND)
        elif seconds is None:
            self._say(HTTPStatus.BAD_REQUEST, f"expected {TTL}: 1 to {LONGEST_S}".encode())
        # AWS refuses likewise what has passed a proxy.
        elif self.headers.get("X-Forwarded-For") or not (
            instance := self.server.caller(self._address)
        ):
            self._say(HTTPStatus.FORBIDDEN)
        else:
            token = self.server.tokens.give(instance, self._address, seconds)
            self._say(HTTPStatus.OK, token.encode(), {TTL: str(seconds)})

    def do_GET(self) -> None:
        """Answer whoever has a token."""
        instance = self.server.tokens.instance(self.headers.get(TOKEN, ""), self._address)
        if instance is None:
            self._say(HTTPStatus.UNAUTHORIZED)
            return
        path = unquote(urlsplit(self.path).path)
        try:
            body = self.server.metadata.answer(instance, self._address, path)
        except ImagefleetError as error:
            log.warning("metadata can't be told", machine=instance, reason=str(error))
            self._say(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._say(HTTPStatus.NOT_FOUND if body is None else HTTPStatus.OK, body or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing: credentials and tokens are asked for here."""

    @property
    def _address(self) -> str:
        return str(self.client_address[0])

    def _say(
        self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)
