"""A package index as companies have them: behind a proxy, with passwords and a CA of its own."""

from __future__ import annotations

import hashlib
import io
import socket
import ssl
import threading
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# No other resolver knows it, so whoever asks went through the proxy.
HOST = "index.internal"


@dataclass
class PrivateIndex:
    """One wheel, and what was asked for it.

    Attributes:
        login, proxy_login: name and password that the index and the proxy want.
        served: the paths that were answered.
        connected: the hosts that the proxy connected to.
    """

    wheel_name: str
    wheel: bytes
    login: str
    proxy_login: str
    port: int = 0
    proxy_port: int = 0
    served: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    @property
    def requirement(self) -> str:
        """The line of a lock that asks for the wheel."""
        name, version, *_ = self.wheel_name.split("-")
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(self.wheel).hexdigest()}\n"


@contextmanager
def serving(index: PrivateIndex, certificate: Path) -> Iterator[PrivateIndex]:
    """Run the index and the proxy on free ports of all interfaces, for containers to reach."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with _running(_Index, index) as server, _running(_Proxy, index) as proxy:
        # The handshake is the business of the connection's own thread.
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        index.port, index.proxy_port = server.server_port, proxy.server_port
        yield index


def wheel_of(name: str, files: dict[str, str]) -> tuple[str, bytes]:
    """Make a wheel of version 1.0; return its file name and content."""
    facts = f"{name}-1.0.dist-info"
    files = {
        **files,
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{facts}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{facts}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}-1.0-py3-none-any.whl", content.getvalue()


class _Handler(BaseHTTPRequestHandler):
    index: PrivateIndex

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _may(self, header: str, login: str) -> bool:
        return self.headers.get(header) == f"Basic {b64encode(login.encode()).decode()}"

    def _answer(self, status: int, body: bytes = b"", kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Index(_Handler):
    def do_GET(self) -> None:
        name = self.index.wheel_name
        if not self._may("Authorization", self.index.login):
            self._answer(401)
        elif self.path == f"/files/{name}":
            self.index.served.append(self.path)
            self._answer(200, self.index.wheel, "application/octet-stream")
        else:
            self.index.served.append(self.path)
            self._answer(200, f'<!DOCTYPE html><a href="/files/{name}">{name}</a>'.encode())


class _Proxy(_Handler):
    def do_CONNECT(self) -> None:
        if not self._may("Proxy-Authorization", self.index.proxy_login):
            self._answer(407)
            return
        self.index.connected.append(self.path)
        with socket.create_connection(("127.0.0.1", self.index.port)) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pass_on, args=(there, self.connection))
            back.start()
            _pass_on(self.connection, there)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def _running(handler: type[_Handler], index: PrivateIndex) -> Iterator[ThreadingHTTPServer]:
    bound = type(handler.__name__, (handler,), {"index": index})
    server = ThreadingHTTPServer(("0.0.0.0", 0), bound)
    server.daemon_threads = True
    with closing(server.socket):
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
