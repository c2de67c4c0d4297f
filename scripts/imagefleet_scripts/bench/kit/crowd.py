"""Many clients that wait at once for the answers to their uploads."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.played_worker import LABEL
from imagefleet_scripts.bench.kit.serving import Served
from imagefleet_scripts.bench.kit.upload_load import Uploads, read_answer

WAIT_S = 300
# Clients that connect at the same moment; those beyond come in turn.
AT_ONCE = 64


def wait(served: Served, image: Path, count: int) -> None:
    """Be so many clients, each with an upload of its own and a connection.

    Raises:
        BenchError: one was answered anything but its label.
    """
    answers = asyncio.run(_wait(served, image, count))
    wrong = [answer for answer in answers if answer != (200, f"{LABEL}\n".encode())]
    if wrong:
        raise BenchError(f"{len(wrong)} of {count} clients who waited were answered {wrong[0]}")


async def _wait(served: Served, image: Path, count: int) -> list[tuple[int, bytes]]:
    url, door = urlsplit(served.url), asyncio.Semaphore(AT_ONCE)
    path = f"/?wait={WAIT_S}"
    uploads = Uploads(url.netloc, path, image, served.key, idempotent=False)

    async def one() -> tuple[int, bytes]:
        async with door:
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            writer.write(uploads.next())
            await writer.drain()
        with closing(writer):
            return await read_answer(reader)

    return await asyncio.gather(*(one() for _ in range(count)))
