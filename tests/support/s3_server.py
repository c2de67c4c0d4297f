"""S3 and SQS over a real socket: moto answers, signatures are checked, faults come when told.

What goes through a socket can't be seen by moto's own hooks into boto3; and moto itself takes any
signature for good.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, HTTPHeaders
from botocore.credentials import Credentials
from moto.core.models import botocore_stubber

REGION = "eu-central-1"
SECRETS = {"test": "secret", "testing": "testing"}

# Answers instead of S3, which never hears of the request.
Fault = Callable[["Handler"], None]


class S3Server:
    """A server on the loopback, to be used while `moto.mock_aws` is on.

    Attributes:
        faults: answer the next requests, one each.
        requests: all that came, as "GET /bucket/key", and `seen` their headers.
        connections: how many there were in all.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._scheme = "https" if tls else "http"
        self.faults: deque[Fault] = deque()
        self.requests: list[str] = []
        self.seen: list[dict[str, str]] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self._server.s3 = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self.hang_up()
        self._server.server_close()

    def hang_up(self) -> None:
        """Close all connections, as S3 does with those that were silent for long."""
        for link in list(self._open):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def opened(self, link: socket.socket) -> None:
        self.connections += 1
        self._open.add(link)

    def closed(self, link: socket.socket) -> None:
        self._open.discard(link)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client may hang up at any time
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection; answers what S3 would."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self._s3.opened(self.request)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self._s3.closed(self.request)

    @property
    def _s3(self) -> S3Server:
        s3: S3Server = self.server.s3  # type: ignore[attr-defined]
        return s3

    def answer(self) -> None:
        if self.headers.get("expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        length = int(self.headers.get("content-length", 0))
        self.body = self.rfile.read(length)
        if len(self.body) < length:
            self.close_connection = True
            return
        self._s3.requests.append(f"{self.command} {self.path}")
        self._s3.seen.append({name.lower(): value for name, value in self.headers.items()})
        if self._s3.faults:
            self._s3.faults.popleft()(self)
        elif refusal := signature_error(self.command, self._url(), self.headers, self.body):
            self.send(403, error_xml(refusal, "the signature is not ours"))
        else:
            self.send(*self._ask_moto())

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815

    def send(self, status: int, body: bytes, headers: dict[str, Any] | None = None) -> None:
        """Send an answer."""
        self.send_response_only(status)
        told = {"Content-Length": len(body), **(headers or {})}
        for name, value in told.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self) -> None:
        """End the connection with a reset instead of a farewell."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _url(self) -> str:
        return f"http://{self.headers['host']}{self.path}"

    def _ask_moto(self) -> tuple[int, bytes, dict[str, Any]]:
        headers = HTTPHeaders()
        for name, value in self.headers.items():
            headers[name] = value
        host = f"{'sqs' if 'x-amz-target' in self.headers else 's3'}.{REGION}.amazonaws.com"
        headers.replace_header("Host", host)
        url = f"https://{host}{self.path}"
        request = AWSPreparedRequest(self.command, url, headers, self.body, stream_output=False)
        answered = botocore_stubber.process_request(request)
        assert answered is not None, url
        status, told, body = answered
        content = body.encode() if isinstance(body, str) else body
        left_out = {"content-length", "transfer-encoding"} if self.command != "HEAD" else set()
        return status, content, {n: v for n, v in told.items() if n.lower() not in left_out}


def signature_error(method: str, url: str, headers: Any, body: bytes) -> str | None:
    """Return the code with which AWS refuses a request, as botocore reckons the signature."""
    _, _, told = headers.get("authorization", "").partition(" ")
    parts = dict(part.strip().split("=", 1) for part in told.split(",") if part)
    access_key, _, region, service, _ = parts.get("Credential", "////").split("/")
    if access_key not in SECRETS:
        return "InvalidAccessKeyId"
    told = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if told != "UNSIGNED-PAYLOAD" and told != hashlib.sha256(body).hexdigest():
        return "XAmzContentSHA256Mismatch"
    names = parts["SignedHeaders"].split(";")
    request = AWSRequest(method, url, {name: headers[name] for name in names}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    signer = kind(Credentials(access_key, SECRETS[access_key]), service, region)
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    right = signer.signature(to_sign, request)
    return None if parts["Signature"] == right else "SignatureDoesNotMatch"


def error_xml(code: str, message: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    ).encode()


def refuse_action(status: int, code: str, message: str) -> Fault:
    """Return a fault: SQS refuses what is asked of it."""
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": message}).encode()
    return lambda handler: handler.send(status, body)


def refuse(status: int, code: str, **headers: str) -> Fault:
    """Return a fault: S3 refuses the request."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(status, error_xml(code, f"{code} it is"), told)


def break_off(length: int, body: bytes, *, reset: bool) -> Fault:
    """Return a fault: of `length` bytes announced, only `body` comes before the end."""

    def fault(handler: Handler) -> None:
        handler.send(200, body, {"Content-Length": length})
        handler.close_connection = True
        if reset:
            handler.reset()

    return fault


def hang_up(handler: Handler) -> None:
    """Be a fault: the connection ends without an answer."""
    handler.reset()


def stay_silent(released: threading.Event) -> Fault:
    """Return a fault: nothing comes until `released` is set."""

    def fault(handler: Handler) -> None:
        released.wait(10)
        handler.reset()

    return fault
