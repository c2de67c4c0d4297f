"""A server that callbacks are sent to: keeps what comes, and answers as told."""

from __future__ import annotations

import ssl
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

# Answers instead of a status; the request is read by then.
Behaviour = Callable[["Handler"], None]


@dataclass(frozen=True)
class Received:
    """A request as it came; its headers' names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What a request is answered with."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Receiver:
    """Listens at the loopback while it is entered.

    Attributes:
        received: all requests, in the order they came.
        answers: what the next ones are answered with; 204 when there are none.
        connections: how many there were in all.
        over: set in the end, for behaviours that hang until then.
    """

    def __init__(self, *answers: Answer | Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answers: deque[Answer | Behaviour] = deque(answers)
        self.connections = 0
        self.over = threading.Event()
        self._tls = tls
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """Return the URL that leads here."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def secured(self, link: Any) -> Any:
        """Return a connection over TLS, if this is a server with it."""
        return self._tls.wrap_socket(link, server_side=True) if self._tls else link

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    receiver: Receiver
    daemon_threads = True

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread, so that one that is silent holds up nobody.
        self.receiver.connections += 1
        with self.receiver.secured(request) as link:
            super().finish_request(link, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client may hang up at any time
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver = self.server.receiver
        answer = receiver.answers.popleft() if receiver.answers else Answer(204)
        receiver.received.append(Received(self.command, self.path, headers, body))
        if isinstance(answer, Answer):
            self.answer(answer)
        else:
            answer(self)
            self.close_connection = True

    def answer(self, answer: Answer, body: bytes = b"") -> None:
        """Send an answer."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self.server.receiver.over.wait(60)

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""
