"""The processes of a system that runs on this machine, and the order in which they end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

# Longer than a worker's own drain deadline, so that none is killed with an image in hand.
GRACE_S = 35


class Processes:
    """Named processes, each in a session of its own so that Ctrl-C reaches us alone."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def add(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Look after a process that was started elsewhere."""
        self._running[name] = process

    def start(self, name: str, module: str, environ: Mapping[str, str]) -> None:
        """Run a Python module; its logs go where ours go."""
        command = [sys.executable, "-m", module]
        self.add(name, subprocess.Popen(command, env=environ, start_new_session=True))

    def ended(self) -> str | None:
        """Say which process has ended by itself, if one has."""
        for name, process in self._running.items():
            if process.poll() is not None:
                return f"{name} ended with exit code {process.returncode}"
        return None

    def stop(self, name: str) -> None:
        """End one process, giving it time to finish what it holds; one never run is no error."""
        process = self._running.get(name)
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        process.kill()
        process.wait()
        del self._running[name]

    def kill(self) -> None:
        """End all at once."""
        for process in self._running.values():
            process.kill()
            process.wait()
