"""Processes that stand in for workers in tests of the provider."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psutil

from imagefleet_scaler.providers.process import FLEET, ProcessProvider
from system import wait_for

# Without site-packages Python is there in 10 ms.
PYTHON = (sys.executable, "-I", "-S", "-c")
OBEDIENT = "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); signal.pause()"
GONE_S = 20
SOON_S = 60


class ProcessWorkers:
    """Opens providers; whatever their fleets still run is ended on leaving."""

    def __init__(self) -> None:
        self._opened: dict[str, list[ProcessProvider]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        left = [process for fleet in self._opened for process in of_fleet(fleet)]
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=GONE_S)
        for providers in self._opened.values():
            for provider in providers:
                provider.sweep()

    def open(
        self,
        fleet: str,
        *,
        program: str = OBEDIENT,
        command: Sequence[str] | None = None,
        retire_grace_s: float = 60,
    ) -> ProcessProvider:
        """Return a provider whose workers run a Python program, or a command."""
        provider = ProcessProvider(
            fleet=fleet,
            command=command or [*PYTHON, program],
            environment={"PATH": "/usr/bin:/bin"},
            retire_grace_s=retire_grace_s,
        )
        self._opened.setdefault(fleet, []).append(provider)
        return provider

    def kill(self, worker: str) -> None:
        """End a worker from outside."""
        self.process(worker).kill()

    def process(self, worker: str) -> psutil.Process:
        """Return a worker's process, which has no environment for a moment after its start."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = (
                process
                for fleet in self._opened
                for process in of_fleet(fleet)
                if process.environ()["IMAGEFLEET_WORKER_ID"] == worker
            )
            return bool(found)

        wait_for(look, SOON_S)
        return found[0]


def of_fleet(fleet: str) -> list[psutil.Process]:
    """Return every process with the fleet's mark, whoever started it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(FLEET) == fleet:
                found.append(process)
        except psutil.Error:  # it ended, or is somebody else's
            continue
    return found
