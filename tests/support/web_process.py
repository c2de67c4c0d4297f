"""A web process as `python -m imagefleet_web` runs it, for tests to ask, watch and hurt."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from logged import Logged, whole_lines
from system import wait_for
from worker_tier import PACKAGES

PATH = os.pathsep.join([*PACKAGES, str(Path(__file__).parents[2] / "images/web")])
READY_S, STOP_S = 60, 40
TIMEOUT_S = 120


@dataclass(frozen=True)
class WebProcess(Logged):
    """A web process that listens.

    Attributes:
        process: gunicorn's master, which has one server process below it.
    """

    url: str

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, for sockets."""
        parts = urlsplit(self.url)
        return str(parts.hostname), parts.port or 80

    def server(self) -> psutil.Process:
        """Return the process that answers."""
        master = psutil.Process(self.process.pid)
        wait_for(master.children, READY_S)
        (server,) = master.children()
        return server

    def kill(self) -> None:
        """Kill -9 the server and its master."""
        master = psutil.Process(self.process.pid)
        for each in [master, *master.children(recursive=True)]:
            each.kill()
        self.process.wait()

    def stop(self) -> int:
        """Tell it to stop and return its exit status."""
        self.process.terminate()
        return self.process.wait(STOP_S)

    def accepted(self) -> int:
        """Return how many uploads were accepted so far."""
        return self.log.read_text().count('"upload accepted"')

    def waiting(self) -> int:
        """Return how many requests wait for results."""
        (count,) = re.findall(
            r"^\w+_waiting_requests (\S+)$", self.get("metrics").text, re.MULTILINE
        )
        return int(float(count))

    def get(self, path: str, **options: Any) -> requests.Response:
        """Ask for a path below `/`."""
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Make a request with a connection of its own."""
        return requests.request(method, self.url + path, **{"timeout": TIMEOUT_S} | options)

    def upload(
        self,
        images: Sequence[Path | tuple[str, bytes]],
        path: str = "api/v1/upload",
        *,
        key: str = "",
        **options: Any,
    ) -> requests.Response:
        """Upload images as one batch, maybe with an Idempotency-Key."""
        named = [
            (each.name, each.read_bytes()) if isinstance(each, Path) else each for each in images
        ]
        files = [("file", each) for each in named]
        headers = {"Idempotency-Key": key} if key else {}
        return self.request("POST", path, files=files, headers=headers, **options)


@contextmanager
def started(log: Path, environ: Mapping[str, str]) -> Iterator[WebProcess]:
    """Run a web process until it listens; it is stopped in the end if it still runs then."""
    already = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagefleet_web"],
            env={**os.environ, **environ, "PYTHONPATH": PATH, "IMAGEFLEET_LOG_FORMAT": "json"},
            stderr=output,
        )

    def listening() -> list[str]:
        return [line for line in whole_lines(log, already) if '"listening"' in line]

    try:
        wait_for(lambda: listening() or process.poll() is not None, READY_S)
        assert process.poll() is None, whole_lines(log, already)
        (line,) = listening()
        yield WebProcess(process, log, json.loads(line)["url"])
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_S)
        finally:
            process.kill()
