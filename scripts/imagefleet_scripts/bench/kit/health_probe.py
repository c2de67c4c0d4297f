"""Asks for `/healthz` again and again until its input ends; prints how long each answer took.

Each time over a new connection, as load balancers and container engines ask.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PAUSE_S = 0.02
TIMEOUT_S = 60


@contextmanager
def probing(url: str) -> Iterator[list[float]]:
    """Probe a server from another process; the times, in seconds, are in the list in the end."""
    module = "imagefleet_scripts.bench.kit.health_probe"
    times: list[float] = []
    with subprocess.Popen(
        [sys.executable, "-m", module, "--url", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield times
            told, _ = process.communicate(timeout=TIMEOUT_S)
            times += json.loads(told)
        finally:
            process.kill()


def main(arguments: Sequence[str] | None = None) -> int:
    """Probe until the input ends."""
    parser = argparse.ArgumentParser(description="Time the answers of /healthz.")
    parser.add_argument("--url", required=True)
    url = parser.parse_args(arguments).url

    over = threading.Event()

    def await_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=await_end, daemon=True).start()
    times: list[float] = []
    while not times or not over.wait(PAUSE_S):
        began = time.perf_counter()
        with urllib.request.urlopen(f"{url}healthz", timeout=TIMEOUT_S) as answer:
            answer.read()
        times.append(time.perf_counter() - began)
    print(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
