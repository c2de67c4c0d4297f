"""The emulator that a measurement runs over, and the proxies in front of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagefleet_scripts import emulator
from imagefleet_scripts.bench.kit.errors import BenchError


@contextmanager
def running() -> Iterator[str]:
    """Run an emulator that keeps nothing, make it this process's AWS, and yield its URL."""
    with tempfile.TemporaryDirectory(prefix="imagefleet-bench-") as folder:
        try:
            started = emulator.start(Path(folder), keep=False)
        except emulator.EmulatorError as error:
            raise BenchError(str(error)) from error
        try:
            started.use()
            yield started.endpoint
        finally:
            started.process.terminate()
            started.process.wait()


@dataclass
class Proxy:
    """A delay proxy that runs as a process.

    Attributes:
        requests: how many it forwarded; known once it has ended.
    """

    port: int
    requests: int = 0


@contextmanager
def delayed(endpoint: str, delay_ms: float, host: str = "127.0.0.1") -> Iterator[Proxy]:
    """Run a proxy in front of `endpoint` that lets every request wait."""
    module = "imagefleet_scripts.bench.kit.delay_proxy"
    command = [sys.executable, "-m", module, "--to", endpoint]
    with subprocess.Popen(
        [*command, "--delay-ms", str(delay_ms), "--host", host],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101
        try:
            line = process.stdout.readline()
            if not line:
                raise BenchError("the delaying proxy did not start; its reason stands above")
            proxy = Proxy(int(line))
            yield proxy
            process.terminate()
            proxy.requests = int(process.stdout.readline())
        finally:
            process.kill()
