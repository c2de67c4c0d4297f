"""Stands in for the web tier behind the proxy: tells what reached it. Run inside a container.

Each request is a line on stdout when it came, `<method> <path>`, and one when it was answered.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
# What each path answers with: a type, and a body large enough to be worth compressing.
BODIES = {
    "/large.json": ("application/json", b"[" + b"1," * 4000 + b"1]"),
    "/large.csv": ("text/csv; charset=utf-8", b"a,b\n" * 2000),
    "/large.js": ("text/javascript; charset=utf-8", b"let a;\n" * 2000),
    "/large.jpg": ("image/jpeg", b"\xff\xd8" + bytes(16 * 1024)),
    # More than all sockets on the way hold.
    "/huge.jpg": ("image/jpeg", b"\xff\xd8" + bytes(30 * 1024 * 1024)),
}
KEYS = {"Authorization", "X-Api-Key"}
released = threading.Event()


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chunked = True

    def answer(self) -> None:
        print(self.command, self.path, flush=True)  # noqa: T201
        path = self.path.split("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path == "/die":
            self.close_connection = True  # without a word
        elif self.command == "OPTIONS" and not KEYS & {*self.headers}:
            self.send(401, "application/problem+json", b"{}", {"WWW-Authenticate": "Bearer"})
        elif path == "/events":
            self.events()
        elif path == "/release":
            released.set()
            self.send(200, "application/json", b"{}")
        elif path == "/cut":
            self.cut()
        elif status := re.fullmatch(r"/status/(\d+)", path):
            self.send(int(status[1]), "application/problem+json", b'{"code": "of the web tier"}')
        elif path in BODIES:
            self.send(200, *BODIES[path])
        else:
            told = {
                "method": self.command,
                "path": self.path,
                "headers": list(self.headers.items()),
                "bytes": len(body),
            }
            self.send(200, "application/json", json.dumps(told).encode())
        print("answered", self.path, flush=True)  # noqa: T201

    do_GET = do_POST = do_OPTIONS = do_DELETE = answer  # noqa: N815

    def send(
        self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def events(self) -> None:
        """Send one event at once, and the second when /release was asked for."""
        released.clear()
        self.start_chunks("text/event-stream", {"X-Accel-Buffering": "no"})
        self.chunk(b"data: first\n\n")
        released.wait(90)  # longer than any client waits for the first one
        self.chunk(b"data: second\n\n")
        self.chunk(b"")

    def cut(self) -> None:
        """Begin an answer and break off before its end."""
        self.start_chunks("text/csv", {})
        self.chunk(b"a,b\n")
        self.close_connection = True

    def start_chunks(self, kind: str, headers: dict[str, str]) -> None:
        # To whoever speaks HTTP/1.0 the end of the connection is the end of the answer.
        self.chunked = self.request_version != "HTTP/1.0"
        coding = {"Transfer-Encoding": "chunked"} if self.chunked else {"Connection": "close"}
        self.send_response(200)
        for name, value in {"Content-Type": kind, **coding, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Echo).serve_forever()
