"""Runs the whole system as processes of this machine, until Ctrl-C.

Imports nothing but the standard library until it runs, so that `--help` needs no installation.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from imagefleet_scripts import emulator
from imagefleet_scripts.processes import GRACE_S, Processes

READY_S = 180
MODULES = (
    "boto3", "flask", "gunicorn", "ministack", "numpy", "openvino", "PIL", "psutil", "structlog",
)  # fmt: skip
DATA_TEMPLATE = Path(__file__).parents[2] / "infra" / "data.yaml"


class UpError(Exception):
    """Why the system cannot run, in a sentence."""


def run(options: argparse.Namespace) -> None:
    """Run the system; raises `UpError` where a part of it cannot start, or ends by itself."""
    began = time.monotonic()
    _require_modules()
    _require_port(options.port)
    _configure(options)
    with (
        _state(options.state) as state,
        _aws(state, keep=options.state is not None),
        _tiers() as up,
    ):
        up.start("scaler", "imagefleet_scaler", os.environ)
        up.start("web", "imagefleet_web", os.environ)
        url = f"http://127.0.0.1:{options.port}/"
        _await_ready(f"{url}readyz", up)
        _say(f"\nImagefleet is ready after {time.monotonic() - began:.1f} s at {url}")
        _say(f"  from a terminal: curl -F file=@samples/chelsea.jpg {url}")
        _say("  Ctrl-C stops everything\n")
        while (ended := up.ended()) is None:
            time.sleep(0.5)
        raise UpError(f"{ended}; its reason stands above")


def _require_modules() -> None:
    if missing := [name for name in MODULES if importlib.util.find_spec(name) is None]:
        raise UpError(
            f"Python modules are missing: {', '.join(missing)}; remove .venv/run and run "
            "scripts/up again, or install requirements/embedded.txt"
        )


def _require_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UpError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port"
            ) from error


@contextmanager
def _state(chosen: Path | None) -> Iterator[Path]:
    """Yield the folder of what outlives the run, or one that is gone after it."""
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="imagefleet-") as folder:
            yield Path(folder)
        return
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UpError(f"cannot keep state in {chosen}: {error.strerror}") from error
    yield chosen.resolve()


@contextmanager
def _aws(state: Path, *, keep: bool) -> Iterator[None]:
    """Run the emulator, with the system's buckets and queues in it; it ends last."""
    first = not any(state.iterdir())
    processes = Processes()
    try:
        _start_emulator(processes, state, keep=keep)
        _apply_data_stack()
        if keep and first:
            # It writes the stack down only when it stops: killed before that, it would come back
            # with buckets that belong to no stack.
            processes.stop("emulator")
            _start_emulator(processes, state, keep=keep)
        yield
    finally:
        processes.stop("emulator")


def _start_emulator(processes: Processes, state: Path, *, keep: bool) -> None:
    try:
        started = emulator.start(state, keep=keep)
    except emulator.EmulatorError as error:
        raise UpError(str(error)) from error
    processes.add("emulator", started.process)
    started.use()


@contextmanager
def _tiers() -> Iterator[Processes]:
    """Give the tiers' processes a place; end them in the order in which work flows."""
    processes = Processes()
    try:
        yield processes
    finally:
        try:
            _say("\nstopping; what is in hand is finished first (Ctrl-C again to end it at once)")
            processes.stop("web")
            processes.stop("scaler")
            _retire_workers(GRACE_S)
        except KeyboardInterrupt:
            processes.kill()
            _retire_workers(0)


def _configure(options: argparse.Namespace) -> None:
    """Set what this machine needs; what the user has set stays as it is."""
    os.environ["IMAGEFLEET_PROVIDER"] = "process"
    os.environ["IMAGEFLEET_HOST"] = "127.0.0.1"
    os.environ["IMAGEFLEET_PORT"] = str(options.port)
    os.environ["IMAGEFLEET_MAX_WORKERS"] = str(options.max_workers)
    for name, value in {
        "IMAGEFLEET_LOG_FORMAT": "text",
        # A worker a core and a core a worker: nothing here competes with itself.
        "IMAGEFLEET_THREADS": "1",
        "IMAGEFLEET_TARGET_S": "2",
        # One scaler, over an emulator whose counts are exact.
        "IMAGEFLEET_LEASE_S": "0",
        "IMAGEFLEET_COUNTS_LAG_S": "0",
    }.items():
        os.environ.setdefault(name, value)


def _apply_data_stack() -> None:
    from imagefleet_core import stack
    from imagefleet_core.aws import Aws
    from imagefleet_core.errors import ImagefleetError

    template, parameters = DATA_TEMPLATE.read_text(), {"Prefix": _prefix()}
    try:
        stack.apply(Aws().cloudformation(), "imagefleet-data", template, parameters)
    except ImagefleetError as error:
        raise UpError(str(error)) from error


def _await_ready(url: str, processes: Processes) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
            return
        if ended := processes.ended():
            raise UpError(f"{ended}; its reason stands above")
        if time.monotonic() > deadline:
            raise UpError(f"not ready after {READY_S} s; the logs above say why")
        time.sleep(0.1)


def _retire_workers(grace_s: float) -> None:
    """End the workers, which outlive the scaler that launched them."""
    from imagefleet_scaler.providers.process import ProcessProvider, fleet_tag

    fleet = fleet_tag(_prefix(), os.environ["AWS_ENDPOINT_URL"])
    provider = ProcessProvider(fleet=fleet, command=(), environment={}, retire_grace_s=grace_s)
    provider.retire([worker.id for worker in provider.list()])
    while provider.list():
        provider.sweep()
        time.sleep(0.1)


def _prefix() -> str:
    return os.environ.get("IMAGEFLEET_PREFIX") or "imagefleet"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/up",
        description="Run the whole of Imagefleet on this machine, without Docker: an embedded AWS "
        "emulator, the web tier, the scaler and its workers. Ctrl-C stops everything.",
        epilog="Settings of the tiers are environment variables; `python -m imagefleet_web --help` "
        "and so on list them.",
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="where the web tier listens (default: %(default)s)"
    )
    parser.add_argument(
        "--max-workers",
        type=int,
        default=min(20, os.cpu_count() or 1),
        help="how many workers at the most, 1 to 20 (default: one a core, here %(default)s)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep uploads and results in this folder; without it they are gone in the end",
    )
    options = parser.parse_args(arguments)
    if not 0 < options.port < 65536:
        parser.error("--port takes a number from 1 to 65535")
    if not 1 <= options.max_workers <= 20:
        parser.error("--max-workers takes a number from 1 to 20")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; return the exit status."""
    options = _options(arguments)
    # SIGINT too: a shell has it ignored in what it runs in the background.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        run(options)
    except UpError as error:
        _say(f"scripts/up: {error}")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
