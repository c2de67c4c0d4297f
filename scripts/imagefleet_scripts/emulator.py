"""MiniStack as the embedded AWS emulator: one process on the loopback, on a port of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

START_S = 120


class EmulatorError(Exception):
    """The emulator could not be started."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator.

    Attributes:
        endpoint: its URL.
        process: ended by whoever started it; SIGTERM lets it save what it holds.
    """

    endpoint: str
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """What boto3 needs to find it; the credentials are made up, and only it takes them."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "NO_PROXY": "127.0.0.1",
        }

    def use(self) -> None:
        """Make it this process's AWS, and that of all that it starts."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]  # of the user's own AWS, which nothing here may reach
        os.environ.update(self.environment)


def start(state: Path, *, keep: bool) -> Emulator:
    """Start an emulator and return when it answers.

    Args:
        state: a folder for its log and for what it holds.
        keep: whether buckets and queues outlive it, to be found by the next one there.

    Raises:
        EmulatorError: it is not installed, or did not answer; its last words are in the message.
    """
    state.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), state / "ministack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=_environment(port, state, keep=keep),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    emulator = Emulator(f"http://127.0.0.1:{port}", process)
    deadline = time.monotonic() + START_S
    while not _answers(emulator.endpoint):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise EmulatorError(f"MiniStack did not start: {last[0]} (all of it: {log})")
        time.sleep(0.05)
    return emulator


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/_localstack/health", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _environment(port: int, state: Path, *, keep: bool) -> dict[str, str]:
    ours = ("AWS_", "GATEWAY_PORT", "MINISTACK_", "SERVICES")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        # Not GATEWAY_PORT, which goes into the queues' URLs: what is kept must fit another port.
        "EDGE_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "PERSIST_STATE": str(int(keep)),
        "STATE_DIR": str(state / "emulator"),
        "S3_PERSIST": str(int(keep)),
        "S3_DATA_DIR": str(state / "s3"),
        # Doors that nothing here uses; with Docker it clears away other MiniStacks' containers.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
    }
