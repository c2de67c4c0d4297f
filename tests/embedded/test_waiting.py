"""Hundreds of uploads that wait at once, on the real server over the emulator."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from urllib.parse import urlsplit

import pytest

from place import Place
from web_process import WebProcess
from web_tier import CHELSEA, form

pytestmark = pytest.mark.embedded

UPLOADS = 500
WAIT_S = 300  # as long as the server lets anybody wait


def health_s(web: WebProcess) -> float:
    """Return how long a new client's `/healthz` takes."""
    began = time.monotonic()
    assert web.get("healthz").ok
    return time.monotonic() - began


async def upload(url: str, name: str) -> tuple[int, str]:
    """Upload an image, wait for its label, and return status and text."""
    body, content_type = form([("file", name, CHELSEA)])
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        f"POST /?wait={WAIT_S} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("reply", [True, False], ids=["with replies", "with every reply lost"])
def test_hundreds_of_uploads_wait_and_everything_else_is_answered(
    place: Place, reply: bool
) -> None:
    """Waiting costs threads, little memory and nobody else's time."""

    async def scenario(web: WebProcess) -> list[tuple[int, str]]:
        # given uploads that wait
        uploads = [
            asyncio.create_task(upload(web.url, f"{number}.jpg")) for number in range(UPLOADS)
        ]
        while await asyncio.to_thread(web.accepted) < UPLOADS:
            await asyncio.sleep(0.05)

        # then a health check is answered as ever
        times = [await asyncio.to_thread(health_s, web) for _ in range(50)]
        server = web.server()
        threads, memory = server.num_threads(), server.memory_info().rss
        print(  # noqa: T201
            f"{UPLOADS} uploads wait: {threads} threads, {memory / 1e6:.0f} MB; /healthz "
            f"p50 {median(times) * 1000:.1f} ms, at most {max(times) * 1000:.1f} ms"
        )
        assert threads >= UPLOADS
        assert memory < 400e6
        assert median(times) < 0.5

        # when their results are there
        began = time.monotonic()
        await asyncio.to_thread(place.play, UPLOADS, reply=reply)
        stored = time.monotonic()
        answers = await asyncio.gather(*uploads)
        told = time.monotonic()
        print(f"stored in {stored - began:.1f} s, told {told - stored:.2f} s later")  # noqa: T201
        return answers

    with place.web() as web:
        answers = asyncio.run(scenario(web))
        assert web.stop() == 0

    # then each gets its own label
    assert answers == [(200, f"{number}.jpg 1\n") for number in range(UPLOADS)]
    # and nothing is left of the process
    mine = {place.replies_name}
    assert set(place.queues.names(place.settings.replies_prefix)) == mine
