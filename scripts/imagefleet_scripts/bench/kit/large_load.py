"""Large uploads at once; prints how it went as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from imagefleet_scripts.bench.kit.upload_load import read_answer

BLOCK_BYTES = 256 * 1024


async def upload(host: str, port: int, head: bytes, content: bytes) -> None:
    """Upload some content as fast as it is taken."""
    reader, writer = await asyncio.open_connection(host, port)
    with closing(writer):
        writer.write(head)
        for start in range(0, len(content), BLOCK_BYTES):
            writer.write(content[start : start + BLOCK_BYTES])
            await writer.drain()
        status, body = await read_answer(reader)
    if status != HTTPStatus.ACCEPTED:
        raise SystemExit(f"an upload was answered {status}: {body[:200]!r}")


async def run(url: str, key: str, content: bytes, count: int) -> None:
    """Upload it so many times at once."""
    where = urlsplit(url)
    head = (
        f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode()
    host, port = where.hostname or "", where.port or 80
    await asyncio.gather(*(upload(host, port, head, content) for _ in range(count)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Send the load."""
    parser = argparse.ArgumentParser(description="Upload a large image many times at once.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--image", type=Path, required=True, help="made larger by zeros behind it")
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--uploads", type=int, required=True)
    options = parser.parse_args(arguments)

    content = options.image.read_bytes()
    content += bytes(options.bytes - len(content))
    began = time.perf_counter()
    asyncio.run(run(options.url, options.key, content, options.uploads))
    print(json.dumps({"seconds": time.perf_counter() - began}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
