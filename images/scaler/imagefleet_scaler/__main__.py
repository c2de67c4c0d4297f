"""The scaler's entry point: reads the environment and runs the loop until it is told to stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from imagefleet_core import logs
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.settings import SettingsError, describe, load
from imagefleet_scaler.scaler import Scaler
from imagefleet_scaler.settings import ScalerSettings

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scaler until SIGTERM or Ctrl-C; return the exit status."""
    options = _options(arguments)
    environ = dict(os.environ)
    if options.provider:
        environ["IMAGEFLEET_PROVIDER"] = options.provider
    try:
        settings = load(ScalerSettings, environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if options.healthy:
        return int(not _is_fresh(settings.heartbeat, settings.heartbeat_s))
    logs.configure("scaler", level=settings.log_level, format=settings.log_format)

    stopping = threading.Event()
    try:
        scaler = Scaler(settings, environ, stopping.is_set, dry_run=options.dry_run)
    except ImagefleetError as error:
        print(f"imagefleet-scaler: {error}", file=sys.stderr)
        return 1
    if options.once:
        return int(scaler.loop.turn(time.time()) is None)

    def stop(*_: object) -> None:
        stopping.set()
        scaler.loop.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log.info(
        "the scaler is at work",
        provider=settings.provider,
        workers=f"{settings.min_workers} to {settings.max_workers}",
        dry_run=options.dry_run,
    )
    scaler.run(stopping)
    log.info("the scaler has stopped; its workers go on and end when idle")
    return 0


def _is_fresh(heartbeat: Path, within_s: float) -> bool:
    try:
        return time.time() - heartbeat.stat().st_mtime < within_s
    except OSError:
        return False


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="imagefleet-scaler",
        description="Grows the fleet of workers with the backlog, and shrinks it to zero.",
        epilog=describe(ScalerSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    parser.add_argument(
        "--healthy", action="store_true", help="tell whether the scaler at work here is well"
    )
    parser.add_argument("--once", action="store_true", help="take one turn and end")
    parser.add_argument(
        "--provider", metavar="NAME", help="where workers run, in place of IMAGEFLEET_PROVIDER"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
