"""A proxy between the tiers and an emulator of AWS, which does to calls what AWS does at times.

    with FaultProxy(emulator) as proxy:
        slow = proxy.inject(SlowDown(share=0.2))
        ...  # whatever uses proxy.url as its AWS_ENDPOINT_URL
        assert slow.count > 0

Its connections are real and stay open, as those to AWS do. The `Host` header goes on unchanged, so
that the URLs of queues that the emulator answers with lead through the proxy too.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import threading
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import md5
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from fault_kinds import (
    BATCHES,
    Dripping,
    Fault,
    Garbled,
    Hold,
    Injected,
    Lost,
    Refusal,
    Reset,
    Short,
    Unanswered,
)
from fault_messages import Json, Messages

F = TypeVar("F", bound=Fault)

TARGET, SQS_PREFIX = "X-Amz-Target", "AmazonSQS."
EMULATOR_TIMEOUT_S = 60
DROPS = 20
# Of this connection only, and not to be passed on.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


@dataclass(frozen=True)
class Call:
    """What was asked of AWS."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def of_sqs(self) -> bool:
        """Whether it speaks SQS's JSON protocol; all else is taken for S3's."""
        return self.headers.get(TARGET, "").startswith(SQS_PREFIX)

    @property
    def name(self) -> str:
        """The call's name in AWS's documentation; empty for what no fault is about."""
        if self.of_sqs:
            return self.headers[TARGET].removeprefix(SQS_PREFIX)
        kind = "Object" if self._key else "Bucket"
        match self.method:
            case "GET" | "PUT" | "DELETE" if self._key:
                return self.method.capitalize() + kind
            case "GET" if "list-type=2" in self.path:
                return "ListObjectsV2"
            case "GET" if urlsplit(self.path).query.startswith("versions"):
                return "ListObjectVersions"
            case "HEAD":
                return f"Head{kind}"
            case "POST" if urlsplit(self.path).query.startswith("delete"):
                return "DeleteObjects"
        return ""

    @property
    def about(self) -> str:
        """The object it is about, if it is about one."""
        return self._key

    @property
    def where(self) -> str:
        """The bucket with the object's key or the prefix that is listed, or the queue."""
        if self.of_sqs:
            asked = json.loads(self.body)
            return str(asked.get("QueueUrl", asked.get("QueueName", ""))).rpartition("/")[2]
        parts = urlsplit(self.path)
        prefixes = parse_qs(parts.query).get("prefix", [""])
        return f"{parts.path.strip('/')}/{prefixes[0]}".lstrip("/").removesuffix("/")

    def asking(self, name: str, asked: Json) -> Call:
        """Return a call to SQS like this one, for something else."""
        headers = {**self.headers, TARGET: SQS_PREFIX + name}
        return replace(self, headers=headers, body=json.dumps(asked).encode())

    @property
    def _key(self) -> str:
        return "" if self.of_sqs else urlsplit(self.path).path.lstrip("/").partition("/")[2]


@dataclass(frozen=True)
class Answer:
    """What AWS says."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Fell(Exception):
    """The emulator didn't do what it was asked inside a batch; its answer goes on unchanged."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the emulator answered {answer.status}")
        self.answer = answer


class FaultProxy:
    """A proxy on a port of the loopback.

    Attributes:
        calls: the names of all calls so far.
        silenced: how many calls came while there was silence.
        trouble: what went wrong in the proxy itself; leaving its context fails then.

    Args:
        emulator: the URL of what stands for AWS.
        seed: for the faults that happen by chance.
    """

    def __init__(self, emulator: str, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._injected: list[Injected[Any]] = []
        self._messages = Messages(self._injected, self._chance)
        self._over = threading.Event()
        self._silent_until = 0.0
        self.silenced = 0
        self.trouble: list[BaseException] = []
        self.calls: list[str] = []
        self._address = (str(urlsplit(emulator).hostname), urlsplit(emulator).port or 80)
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self.refuse()
        if error is None:
            assert not self.trouble, f"the proxy failed: {self.trouble}"

    def inject(self, fault: F) -> Injected[F]:
        """Let a fault happen from now on, beside those that do already."""
        injected = Injected(fault, random.Random(self._chance.random()))
        self._injected.append(injected)
        return injected

    def relent(self) -> None:
        """End all faults."""
        for each in self._injected:
            each.end()

    def kept(self) -> int:
        """Return how many deliveries of messages are still to come."""
        return self._messages.kept()

    def silence(self, seconds: float) -> None:
        """Accept calls from now on, but let all of them wait until so many seconds are over."""
        self._silent_until = time.monotonic() + seconds

    def silent_s(self) -> float:
        """Return for how many seconds nothing will be answered."""
        return max(0.0, self._silent_until - time.monotonic())

    def refuse(self) -> None:
        """Cut all connections and refuse new ones, until `accept`."""
        self._server.close()
        self._thread.join()

    def accept(self) -> None:
        """Accept connections again."""
        self._server = _Server(self, self._server.server_port)
        self._listen()

    def wait(self, call: Call) -> None:
        """Let a call wait as long as it has to."""
        for hold in self._striking(Hold, call):
            self._over.wait(hold.seconds)
        self.silenced += self.silent_s() > 0
        while (left := self.silent_s()) and not self._over.is_set():
            self._over.wait(left)

    def answer(self, call: Call) -> Answer:
        """Return what a call is answered, by a fault or by the emulator."""
        self.calls.append(call.name)
        for refusal in self._striking(Refusal, call):
            if refusal.done:
                self._pass_on(call)
            return _refusal(call, refusal)
        if self._striking(Lost, call):
            entries = json.loads(call.body)["Entries"]
            return _said({"Successful": [_taken(entry) for entry in entries], "Failed": []})
        return self._pass_on(call)

    def deliver(self, call: Call, answer: Answer, handler: _Handler) -> None:
        """Send an answer as faults have it."""
        if answer.status == HTTPStatus.OK and self._striking(Garbled, call):
            answer = replace(answer, body=answer.body[: len(answer.body) // 2])
        if self._striking(Unanswered, call):
            handler.hang_up()
        elif self._striking(Reset, call):
            if answer.body:
                handler.send(answer, answer.body[: len(answer.body) // 2])
            handler.reset()
        elif self._striking(Short, call):
            handler.send(answer, answer.body[: len(answer.body) // 2])
            handler.hang_up()
        elif dripping := self._striking(Dripping, call):
            handler.send(answer, b"")
            step = max(1, len(answer.body) // DROPS)
            for start in range(0, len(answer.body), step):
                self._over.wait(dripping[0].seconds / DROPS)
                handler.write(answer.body[start : start + step])
        else:
            handler.send(answer, answer.body)

    def _listen(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _pass_on(self, call: Call) -> Answer:
        def ask(name: str, asked: Json) -> Json:
            answer = self._forward(call.asking(name, asked))
            if answer.status != HTTPStatus.OK:
                raise Fell(answer)
            said: Json = json.loads(answer.body)
            return said

        try:
            if call.name == "ReceiveMessage":
                return _said(self._messages.receive(json.loads(call.body), ask))
            if call.name in BATCHES:
                return _said(self._messages.batch(call.name, json.loads(call.body), ask))
        except Fell as fell:
            return fell.answer
        return self._forward(call)

    def _forward(self, call: Call) -> Answer:
        dropped = HOP_BY_HOP - ({"content-length"} if call.method == "HEAD" else set())
        headers = {
            name: text for name, text in call.headers.items() if name.lower() not in HOP_BY_HOP
        }
        # A connection a call: an old one may be about to be closed, which no test has asked for.
        with closing(HTTPConnection(*self._address, timeout=EMULATOR_TIMEOUT_S)) as emulator:
            emulator.request(call.method, call.path, call.body, headers)
            answer = emulator.getresponse()
            kept = [each for each in answer.getheaders() if each[0].lower() not in dropped]
            return Answer(answer.status, kept, answer.read())

    def _striking(self, kind: type[F], call: Call) -> list[F]:
        """Return the faults of a kind that happen to a call, at most one."""
        for each in self._injected:
            if not isinstance(each.fault, kind):
                continue
            if each.fault.conditional and "If-None-Match" not in call.headers:
                continue
            if each.strikes(call.name, call.about, call.where):
                return [each.fault]
        return []


class _Server(ThreadingHTTPServer):
    """Accepts connections, each in a thread of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: FaultProxy, port: int = 0) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        """Stop listening and cut what is connected."""
        self.shutdown()
        self._closed = True
        self.socket.close()
        with self._lock:
            for each in self._open:
                _linger_not(each)
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:  # it is closed already
                    continue
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep in mind what should not have happened; a caller may hang up at any time."""
        error = sys.exc_info()[1]
        if error and not isinstance(error, ConnectionError) and not self._closed:
            self.proxy.trouble.append(error)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a caller, and one to the emulator for it."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_call(self) -> None:
        """Handle one call."""
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # whoever called is gone, and AWS stores no half objects
            self.hang_up()
            return
        headers = {name.title(): text for name, text in self.headers.items()}
        call = Call(self.command, self.path, headers, body)
        proxy = self.server.proxy
        proxy.wait(call)
        proxy.deliver(call, proxy.answer(call), self)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_call  # noqa: N815

    def send(self, answer: Answer, body: bytes) -> None:
        """Send the head of an answer, and as much of its body as `body` is."""
        self.send_response_only(answer.status)
        for name, text in answer.headers:
            self.send_header(name, text)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.write(body)

    def write(self, some: bytes) -> None:
        """Send some of a body."""
        if self.command != "HEAD":
            self.wfile.write(some)

    def hang_up(self) -> None:
        """End the connection in order."""
        self.close_connection = True

    def reset(self) -> None:
        """End the connection with a RST as soon as what was sent has arrived."""
        time.sleep(0.01)
        _linger_not(self.connection)
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def _linger_not(connection: socket.socket) -> None:
    """Let closing a connection reset it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _said(body: Json) -> Answer:
    return Answer(200, [("Content-Type", "application/x-amz-json-1.0")], json.dumps(body).encode())


def _taken(entry: Json) -> Json:
    """Return what SQS says of a message that it took."""
    digest = md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"Id": entry["Id"], "MessageId": str(uuid.uuid4()), "MD5OfMessageBody": digest}


def _refusal(call: Call, refusal: Refusal) -> Answer:
    if call.of_sqs:
        fault = "Sender" if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
        headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amzn-Query-Error", f"{refusal.code};{fault}"),
        ]
        body = json.dumps({"__type": f"com.amazonaws.sqs#{refusal.code}", "message": refusal.says})
        return Answer(refusal.status, headers, body.encode())
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.says)}</Message>"
        f"<Resource>{escape(call.path)}</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
    return Answer(refusal.status, [("Content-Type", "application/xml")], xml.encode())
