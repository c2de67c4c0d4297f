"""The worker's entry point."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.settings import SettingsError, describe, load
from imagefleet_worker.settings import WorkerSettings

# A worker touches its heartbeat every two seconds; some may be late on a machine that is busy.
FRESH_S = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until SIGTERM or Ctrl-C; return the exit status."""
    options = _options(arguments)
    try:
        settings = load(WorkerSettings, os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if options.healthy:
        return int(not _is_fresh(settings.heartbeat))

    try:
        _work(settings, only_check=options.check)
    except ImagefleetError as error:
        print(f"imagefleet-worker: {error}", file=sys.stderr)
        return 1
    return 0


def entry() -> NoReturn:
    """Run `main` as a process."""
    status = main()
    # Threads may still wait for an AWS that doesn't answer. The interpreter would take itself
    # apart around them, which those that are inside C++ don't survive; the system just ends them.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _work(settings: WorkerSettings, *, only_check: bool) -> None:
    # Imported only here: a health check every few seconds must not cost what a worker costs.
    from imagefleet_worker.children.runners import Runner

    # Started before the rest is imported, as it takes longest to be ready.
    with Runner(limit_s=settings.process_limit_s) as runner:
        from imagefleet_core import logs
        from imagefleet_worker.drain import Stop

        stop = Stop()
        stop.on_signals()
        logs.configure("worker", level=settings.log_level, format=settings.log_format)
        if only_check:
            from imagefleet_worker.check import check

            print(check(settings, runner))
        else:
            from imagefleet_worker import startup

            startup.run(settings, runner, stop)


def _is_fresh(heartbeat: Path) -> bool:
    try:
        return time.time() - heartbeat.stat().st_mtime < FRESH_S
    except OSError:
        return False


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="imagefleet-worker",
        description="Takes queued images, classifies them and stores a result for each.",
        epilog=describe(WorkerSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--healthy", action="store_true", help="tell whether the worker at work here is well"
    )
    parser.add_argument(
        "--check", action="store_true", help="load all that a worker needs, without AWS, and end"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    entry()
