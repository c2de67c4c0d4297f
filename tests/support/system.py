"""The whole system as `scripts/up` runs it, for the tests to use, watch and hurt."""

from __future__ import annotations

import csv
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from imagefleet_scripts.emulator import free_port

SAMPLES = Path(__file__).parents[2] / "samples"
PHOTOGRAPHS = sorted(SAMPLES.glob("*.jpg"))

READY_S = 240
STOP_S = 120


@dataclass(frozen=True)
class System:
    """A running system: its address, its processes and its log."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes there are now."""
        return self._named("imagefleet_worker")

    def scaler(self) -> psutil.Process:
        """Return the scaler's process."""
        (scaler,) = self._named("imagefleet_scaler")
        return scaler

    def all_processes(self) -> list[psutil.Process]:
        """Return every process of the system but the one that started it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> int:
        """Press Ctrl-C and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)

    def _named(self, module: str) -> list[psutil.Process]:
        return [each for each in self.all_processes() if module in _command(each)]


@contextmanager
def running(log: Path, *arguments: str, environ: Mapping[str, str]) -> Iterator[System]:
    """Run `scripts/up` on a free port until it is ready; stop it in the end.

    Every image is worked on, as the tests upload the same photographs again and again; a test that
    wants them answered from stored results says so in `environ`.
    """
    port, all_new = free_port(), {"IMAGEFLEET_REUSE_RESULTS": "false"}
    command = [sys.executable, "-m", "imagefleet_scripts.up", "--port", str(port), *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env={**os.environ, **all_new, **environ}, stderr=output)
    system = System(f"http://127.0.0.1:{port}/", process, log)
    try:
        wait_for(
            lambda: process.poll() is not None or re.search("ready after", log.read_text()),
            READY_S,
        )
        assert process.poll() is None, log.read_text()
        yield system
    finally:
        if process.poll() is None:
            system.stop()


def photographs(count: int) -> list[Path]:
    """Return `count` sample photographs, again and again the same ones."""
    return list(itertools.islice(itertools.cycle(PHOTOGRAPHS), count))


def labels() -> dict[str, str]:
    """Return the label of each sample photograph, by file name."""
    with (SAMPLES / "labels.csv").open(newline="") as file:
        return {row["Image"]: row["Results"] for row in csv.DictReader(file)}


def wait_for(condition: Callable[[], object], deadline_s: float) -> None:
    """Return once `condition` holds; fail when it does not within `deadline_s`.

    It is asked ever less often, as asking takes time from those that are waited for.
    """
    deadline, pause_s = time.monotonic() + deadline_s, 0.001
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s"
        time.sleep(pause_s)
        pause_s = min(0.2, 1.5 * pause_s)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []
