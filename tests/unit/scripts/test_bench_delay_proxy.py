"""The delaying proxy between real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from imagefleet_scripts.bench.kit.delay_proxy import DelayProxy

DELAY_S = 0.04
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests `<length>\\n<body>` with the same, until the client hangs up."""
    while line := await reader.readline():
        writer.write(line + await reader.readexactly(int(line)))
        await writer.drain()
    writer.close()


@asynccontextmanager
async def served(handler: Handler, delay_s: float) -> AsyncIterator[tuple[DelayProxy, int]]:
    """Run a server with a proxy in front of it; yield the proxy and its port."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    proxy = DelayProxy("127.0.0.1", server.sockets[0].getsockname()[1], delay_s)
    listening = await proxy.listen()
    try:
        yield proxy, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        server.close()
        while proxy.connections:
            await asyncio.sleep(0)
        await server.wait_closed()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
) -> tuple[bytes, float]:
    """Send a request; return the answer's body and the seconds that it took."""
    began = time.monotonic()
    writer.write(b"%d\n" % len(body) + body)
    answer = await reader.readexactly(int(await reader.readline()))
    return answer, time.monotonic() - began


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def test_every_request_of_a_connection_is_late_and_whole() -> None:
    async def scenario() -> None:
        async with served(echo, DELAY_S) as (proxy, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for body in (b"small", bytes(range(256)) * 8000, b""):
                answer, took_s = await ask(reader, writer, body)
                assert answer == body
                assert took_s >= DELAY_S
            await hang_up(writer)
            assert proxy.requests == 3

    asyncio.run(scenario())


def test_without_a_delay_everything_passes_as_well() -> None:
    async def scenario() -> None:
        async with served(echo, 0) as (proxy, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = bytes(range(256)) * 8000
            assert (await ask(reader, writer, body))[0] == body
            assert (await ask(reader, writer, b"again"))[0] == b"again"
            await hang_up(writer)
            assert proxy.requests == 2

    asyncio.run(scenario())


def test_requests_of_many_connections_wait_side_by_side() -> None:
    async def scenario() -> None:
        # given a server that answers nobody until all have asked
        together = asyncio.Barrier(20)

        async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            await together.wait()
            writer.write(b"0\n")
            writer.close()

        async with served(patient, DELAY_S) as (proxy, port):
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            answers = await asyncio.gather(*(ask(*each, b"") for each in opened))
            assert min(took_s for _, took_s in answers) >= DELAY_S
            assert proxy.requests == 20
            for _, writer in opened:
                await hang_up(writer)

    asyncio.run(scenario())


def test_a_body_that_waits_for_a_hundred_continue_is_no_second_request() -> None:
    async def careful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(b"got " + await reader.readline())
        writer.close()

    async def scenario() -> None:
        async with served(careful, DELAY_S) as (proxy, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PUT\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"the body\n")
            assert await reader.readline() == b"got the body\n"
            await hang_up(writer)
            assert proxy.requests == 1

    asyncio.run(scenario())


def test_a_server_that_is_not_there_hangs_up() -> None:
    async def scenario() -> None:
        async with served(echo, 0) as (proxy, port):
            proxy.server = ("127.0.0.1", 9)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            await hang_up(writer)

    asyncio.run(scenario())
