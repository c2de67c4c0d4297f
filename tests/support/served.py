"""The real server of the web tier in a process of its own, over the fakes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from logged import Logged
from web_tier import CHELSEA, DEADLINE_S, eventually

ROOT = Path(__file__).parents[2]
ENVIRON = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": ":".join(
        str(ROOT / part) for part in ("images/core", "images/web", "tests/support")
    ),
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": os.devnull,
    "IMAGEFLEET_LOG_FORMAT": "json",
}
SERVE = """
import json, sys
from imagefleet_core import logs
from imagefleet_web.serving import server
from imagefleet_web.app import create_app
from imagefleet_web.settings import WebSettings
from web_tier import World

world, settings = World(), WebSettings(**json.loads(sys.argv[1]))
exec(sys.argv[2])
logs.configure("web", level="DEBUG", format="json")
listener = server.listen("127.0.0.1", 0)
server.Server(settings, listener, lambda: create_app(settings, world.store, world.queues)).run()
"""


class Served(Logged):
    """A running server and its log."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.events("listening")[0]["url"])

    def upload(self, wait: str = "0", path: str = "api/v1/upload") -> requests.Response:
        """Upload an image."""
        return requests.post(
            self.url + path, files={"file": CHELSEA}, params={"wait": wait}, timeout=DEADLINE_S
        )

    def connect(self) -> socket.socket:
        """Open a connection."""
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname, address.port), timeout=DEADLINE_S)


@contextmanager
def served(log: Path, prepare: str = "", **settings: Any) -> Iterator[Served]:
    with log.open("wb") as output:
        command = [sys.executable, "-c", SERVE, json.dumps(settings), prepare]
        process = subprocess.Popen(command, env=ENVIRON, stderr=output)
    server = Served(process, log)
    try:
        eventually(lambda: server.events("listening") or process.poll() is not None)
        yield server
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
