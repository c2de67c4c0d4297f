"""Processes under test, on the core kept for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from imagefleet_scripts.bench.kit import cores
from imagefleet_scripts.bench.kit.errors import BenchError

# None takes more than some seconds.
ANSWER_S = 120


@contextmanager
def running(
    core: int | None, module: str, *arguments: str, environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module and its children, on one core or on all, and yield its process.

    In the end it is killed with all its children: what it held is of no more use.

    Raises:
        BenchError: it had ended by then; its last words are in the message.
    """
    with _on(core), log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    except BenchError as error:
        raise BenchError(f"{error}; {_last_words(process, module, log)}") from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answer(core: int | None, module: str, *arguments: str) -> dict[str, Any]:
    """Run a module as `output` does, and return the JSON that it prints."""
    found: dict[str, Any] = json.loads(output(core, module, *arguments))
    return found


def output(core: int | None, module: str, *arguments: str) -> str:
    """Run a module to its end, on one core or on all, and return what it prints.

    Raises:
        BenchError: it failed or took longer than `ANSWER_S`.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        with _on(core):
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=ANSWER_S
            )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{module} had not ended after {ANSWER_S} s") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"{module} failed: {last[0]}")
    return done.stdout


def _on(core: int | None) -> AbstractContextManager[None]:
    return nullcontext() if core is None else cores.on(core)


def _last_words(process: subprocess.Popen[bytes], module: str, log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-3:] or ["nothing"]
    state = "runs" if process.poll() is None else f"ended with status {process.returncode}"
    return f"{module} {state} and said last:\n" + "\n".join(lines)
