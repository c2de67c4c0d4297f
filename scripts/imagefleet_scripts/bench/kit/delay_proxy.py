"""A TCP forwarder that lets every HTTP request wait, as a distant AWS would.

It doesn't read HTTP. Over one connection requests come one after the other, so the first bytes
from the client after some from the server begin a new request, and those are held back. Whatever
follows them waits behind them and no longer, and so does a long poll: its delay and its own wait.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

# An interim answer, after which the client goes on with the same request.
_CONTINUE = re.compile(rb"HTTP/1\.[01] 100 [^\r\n]*\r\n\r\n")


class DelayProxy:
    """Forwards connections to one server, each request `delay_s` late.

    Attributes:
        requests: how many there have been.
        connections: how many are open now, those to the server as well.
    """

    def __init__(self, host: str, port: int, delay_s: float) -> None:
        self.requests = 0
        self.connections = 0
        self.server = (host, port)
        self.delay_s = delay_s

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
        """Accept connections; port 0 takes any that is free."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Client(self), host, port)


class _Client(asyncio.Protocol):
    """The side that faces a client."""

    def __init__(self, proxy: DelayProxy) -> None:
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._held: list[bytes] | None = None
        self._answered = True
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport
        self._proxy.connections += 1
        self._connecting = self._loop.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        if self._answered:
            self._answered = False
            self._proxy.requests += 1
            if self._proxy.delay_s:
                self._held = []
                self._loop.call_later(self._proxy.delay_s, self._release)
        if self._held is not None:
            self._held.append(data)
        else:
            self._forward(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._proxy.connections -= 1
        self._connecting.cancel()
        if self._server:
            self._server.close()

    def answer(self, data: bytes) -> None:
        """Pass on what the server says."""
        if not _CONTINUE.fullmatch(data):
            self._answered = True
        if self.transport:
            self.transport.write(data)

    def close(self) -> None:
        """Hang up, as the server did."""
        if self.transport:
            self.transport.close()

    async def _connect(self) -> None:
        try:
            transport, _ = await self._loop.create_connection(
                lambda: _Server(self, self._proxy), *self._proxy.server
            )
        except OSError:
            self.close()
            return
        self._server = transport
        early, self._early = self._early, []
        for data in early:
            transport.write(data)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for data in held:
            self._forward(data)

    def _forward(self, data: bytes) -> None:
        if self._server:
            self._server.write(data)
        else:
            self._early.append(data)


class _Server(asyncio.Protocol):
    """The side that faces the server."""

    def __init__(self, client: _Client, proxy: DelayProxy) -> None:
        self._client = client
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: ARG002
        self._proxy.connections += 1

    def data_received(self, data: bytes) -> None:
        self._client.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._proxy.connections -= 1
        self._client.close()


async def serve(options: argparse.Namespace) -> None:
    """Print the port, forward until SIGTERM, then print the number of requests."""
    to = urlsplit(options.to)
    proxy = DelayProxy(to.hostname or "", to.port or 80, options.delay_ms / 1000)
    server = await proxy.listen(options.host)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    print(proxy.requests, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a proxy as a process; return the exit status."""
    parser = argparse.ArgumentParser(description="Forward HTTP, each request some time late.")
    parser.add_argument("--to", required=True, metavar="URL", help="the server")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--delay-ms", type=float, default=0, metavar="MS", help="default 0")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve(options))
    except OSError as error:
        print(f"no proxy at {options.host}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
