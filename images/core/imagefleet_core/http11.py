"""One connection that speaks HTTP/1.1: a request out, an answer in.

As much of it as an S3 client needs, and at a third of what `http.client` costs, most of whose
time goes into parsing headers as those of an e-mail.
https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import io
import re
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

from imagefleet_core.bodies import Body, FileBody

_LINE_BYTES = 16 * 1024
_HEADERS = 100
_BLOCK_BYTES = 64 * 1024
# A body up to this size goes out with its headers in one call.
_TOGETHER_BYTES = 64 * 1024
_BODILESS = {204, 304}
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(r"[0-9A-Fa-f]{1,15}")


class ProtocolError(Exception):
    """The connection ended early, or what came is no HTTP/1.1."""


class Connection:
    """A connected socket; for one thread at a time, and of no more use after any error.

    Args:
        link: with its time-out set: how long it may be silent.
        answer_s: how long an answer may take until its body is asked for, and how long its body
            may take after that; a slow one is a `TimeoutError` too.
    """

    def __init__(self, link: socket.socket, answer_s: float) -> None:
        self._link = link
        self._incoming = _Incoming(link, answer_s)
        self._reader = io.BufferedReader(self._incoming, _BLOCK_BYTES)
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)

    def is_silent(self) -> bool:
        """Return whether nothing has come in, not even the end: it can be used again."""
        return not self._poll.poll(0)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = b"",
    ) -> Answer:
        """Send a request and return its answer, whose body has not been read.

        Raises:
            OSError, ProtocolError: the connection is broken; a `TimeoutError` is an OSError.
            ValueError: a header holds a line break.
        """
        self._incoming.start()
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method == "PUT":
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join([*lines, "", ""])
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise ValueError("a header holds a line break")
        sent = True
        try:
            self._send(head.encode("latin-1"), body)
        except (BrokenPipeError, ConnectionResetError):
            sent = False  # a server that refuses early closes early, after an answer
        return Answer(self._incoming, self._reader, method, reusable=sent)

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def _send(self, head: bytes, body: Body) -> None:
        if isinstance(body, FileBody):
            self._link.sendall(head)
            left = len(body)
            for block in body.blocks():
                self._link.sendall(block)
                left -= len(block)
            if left:
                raise ProtocolError(f"the file ended {left:,} bytes early while it was sent")
        elif len(body) <= _TOGETHER_BYTES:
            self._link.sendall(head + body)
        else:
            self._link.sendall(head)
            self._link.sendall(body)


class Answer:
    """What a server answered: status and headers at once, the body when it is read.

    Attributes:
        headers: by their names in lower case.
        length: the body's size in bytes, or None where only its end will tell.
    """

    def __init__(
        self,
        incoming: _Incoming,
        reader: io.BufferedReader[_Incoming],
        method: str,
        *,
        reusable: bool,
    ) -> None:
        self._incoming = incoming
        self._reader = reader
        version, self.status = self._read_status()
        self.headers = self._read_headers()
        while 100 <= self.status < 200:  # an interim answer, such as 100 Continue
            version, self.status = self._read_status()
            self.headers = self._read_headers()
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.length = self._body_length(method)
        closes = "close" in self.headers.get("connection", "").lower() or version != b"HTTP/1.1"
        self._keeps_open = reusable and not closes
        self._ended = self.length == 0

    @property
    def reusable(self) -> bool:
        """Whether the connection is good for another request now."""
        return self._ended and self._keeps_open

    def read(self, at_most: int) -> bytes:
        """Return the body, or its first `at_most` bytes; to be called once.

        Raises:
            OSError, ProtocolError: the body did not come to its end.
        """
        self._incoming.start()
        if self._chunked:
            return self._read_chunks(at_most)
        if self.length is None:
            self._keeps_open = False
            return self._reader.read(at_most)
        body = self._read_exactly(min(self.length, at_most))
        self._ended = self.length <= at_most
        return body

    def _read_status(self) -> tuple[bytes, int]:
        line = self._reader.readline(_LINE_BYTES)
        if not line:
            raise ProtocolError("the connection was closed before an answer")
        version, _, rest = line.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ProtocolError(f"not HTTP/1.1: {line[:40]!r}")
        return version, int(rest[:3])

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(_HEADERS):
            line = self._read_line()
            if not line:
                return headers
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        raise ProtocolError(f"more than {_HEADERS} headers")

    def _body_length(self, method: str) -> int | None:
        if method == "HEAD" or self.status in _BODILESS:
            return 0
        told = self.headers.get("content-length")
        if self._chunked or told is None:
            return None
        if not _LENGTH.fullmatch(told):
            raise ProtocolError(f"not a content-length: {told[:40]!r}")
        return int(told)

    def _read_chunks(self, at_most: int) -> bytes:
        body = bytearray()
        while size := self._read_chunk_size():
            room = at_most - len(body)
            body += self._read_exactly(min(size, room))
            if size > room:
                return bytes(body)
            if self._read_line():
                raise ProtocolError("a chunk is longer than its size")
        while self._read_line():  # trailers, up to an empty line
            pass
        self._ended = True
        return bytes(body)

    def _read_chunk_size(self) -> int:
        size = self._read_line().partition(";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size):
            raise ProtocolError(f"not the size of a chunk: {size[:40]!r}")
        return int(size, 16)

    def _read_line(self) -> str:
        line = self._reader.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ProtocolError("the connection was closed within a line, or the line is too long")
        return line.rstrip(b"\r\n").decode("latin-1")

    def _read_exactly(self, count: int) -> bytes:
        data = self._reader.read(count)
        if len(data) < count:
            raise ProtocolError(f"the connection was closed after {len(data):,} of {count:,} bytes")
        return data


class _Incoming(io.RawIOBase):
    """What comes in on a socket, as long as there is time for it."""

    def __init__(self, link: socket.socket, time_s: float) -> None:
        self._link = link
        self._time_s = time_s
        self._ends_at = 0.0

    def start(self) -> None:
        """Let the time run anew."""
        self._ends_at = time.monotonic() + self._time_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self._ends_at:
            raise TimeoutError("the answer took too long")
        return self._link.recv_into(buffer)
