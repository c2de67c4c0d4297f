"""A load of uploads over kept connections; prints how it went as JSON.

Speaks HTTP by hand, so that it takes a small part of what a server takes. Each image differs in
its last bytes, which no JPEG decoder reads.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

ACCEPTED = HTTPStatus.ACCEPTED


class Uploads:
    """Makes upload requests; each differs from all others ever made."""

    def __init__(self, host: str, path: str, image: Path, key: str, *, idempotent: bool) -> None:
        self._run, self._numbers = uuid.uuid4().hex, itertools.count()
        self._idempotent = idempotent
        before = (
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{image.name}"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        ).encode()
        self._content, self._after = before + image.read_bytes(), b"\r\n--b--\r\n"
        length = len(self._content) + len(self._mark(0)) + len(self._after)
        access = f"Authorization: Bearer {key}\r\n" if key else ""
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{access}Content-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n"
        ).encode()

    def next(self) -> bytes:
        """Return the next request."""
        number = next(self._numbers)
        key = b"Idempotency-Key: %b\r\n" % self._mark(number) if self._idempotent else b""
        return b"".join((self._head, key, b"\r\n", self._content, self._mark(number), self._after))

    def _mark(self, number: int) -> bytes:
        return f"{self._run}-{number:08}".encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read an answer; return its status and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, after = head.partition(b"\r\ncontent-length:")
    return int(head[9:12]), await reader.readexactly(int(after.partition(b"\r\n")[0]))


async def run(host: str, port: int, uploads: Uploads, count: int, connections: int) -> list[float]:
    """Send `count` uploads; return the seconds that each took."""
    left = iter(range(count))
    times = await asyncio.gather(
        *(_one_connection(host, port, uploads, left) for _ in range(connections))
    )
    return [each for some in times for each in some]


async def _one_connection(
    host: str, port: int, uploads: Uploads, left: Iterator[int]
) -> list[float]:
    times = []
    reader, writer = await asyncio.open_connection(host, port)
    with closing(writer):
        for _ in left:
            request = uploads.next()
            began = time.perf_counter()
            writer.write(request)
            status, body = await read_answer(reader)
            times.append(time.perf_counter() - began)
            if status != ACCEPTED:
                raise SystemExit(f"an upload was answered {status}: {body[:200]!r}")
    return times


def main(arguments: Sequence[str] | None = None) -> int:
    """Send the load and print figures; times are in seconds."""
    parser = argparse.ArgumentParser(description="Upload an image again and again.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--uploads", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--idempotent", action="store_true")
    options = parser.parse_args(arguments)

    url = urlsplit(options.url)
    uploads = Uploads(
        url.netloc, url.path, options.image, options.key, idempotent=options.idempotent
    )
    began, cpu = time.perf_counter(), time.process_time()
    times = asyncio.run(
        run(url.hostname or "", url.port or 80, uploads, options.uploads, options.connections)
    )
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    figures = {
        "seconds": seconds,
        "uploads_per_s": len(times) / seconds,
        "cpu_s": cpu_s / len(times),
        "p50_s": statistics.median(times),
        "p99_s": statistics.quantiles(times, n=100)[-1],
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
