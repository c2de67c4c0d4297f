"""The scaler's entry point: reads the environment, puts the parts together, runs the loop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from imagefleet_core import logs
from imagefleet_core.aws import Aws
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.settings import SettingsError, describe, load
from imagefleet_core.sqs import SqsQueues
from imagefleet_core.store import S3Store
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.loop import Listener, Loop
from imagefleet_scaler.providers.choose import choose_provider
from imagefleet_scaler.publisher import Publisher, fresh_s
from imagefleet_scaler.report import Account
from imagefleet_scaler.settings import ScalerSettings
from imagefleet_scaler.telemetry import Telemetry

if TYPE_CHECKING:
    from imagefleet_scaler.metrics import Metrics

# The next turn tries again anyway; the second try is for a connection that was closed meanwhile.
AWS_ATTEMPTS = 2

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
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        fleet = Fleet(boot_s=settings.boot_s, lost_after_s=settings.lost_after_s)
        publisher = _publisher(settings, fleet)
        metrics = None if options.dry_run else _metrics(settings)
        listeners = [] if options.dry_run else [publisher.on_turn]
        loop = _assemble(
            settings,
            environ,
            stopping,
            fleet,
            listeners=listeners,
            metrics=metrics,
            dry_run=options.dry_run,
        )
    except ImagefleetError as error:
        print(f"imagefleet-scaler: {error}", file=sys.stderr)
        return 1
    if options.once:
        return int(loop.turn(time.time()) is None)
    log.info(
        "the scaler is at work",
        provider=settings.provider,
        workers=f"{settings.min_workers} to {settings.max_workers}",
        dry_run=options.dry_run,
    )
    if metrics:
        metrics.serve()
    with publisher:
        loop.run(stopping, settings.tick_s)
    log.info("the scaler has stopped; its workers go on and end when idle")
    return 0


def _assemble(
    settings: ScalerSettings,
    environ: dict[str, str],
    stopping: threading.Event,
    fleet: Fleet,
    *,
    listeners: Sequence[Listener],
    metrics: Metrics | None,
    dry_run: bool,
) -> Loop:
    queues = SqsQueues(Aws(attempts=AWS_ATTEMPTS).sqs(connections=1))
    return Loop(
        requests=queues.open(settings.requests_queue),
        telemetry=Telemetry(queues.open(settings.telemetry_queue)),
        provider=choose_provider(settings, environ, stopping.is_set),
        fleet=fleet,
        config=settings.policy,
        heartbeat=None if dry_run else settings.heartbeat,
        dry_run=dry_run,
        listeners=[*listeners, metrics.on_turn] if metrics else listeners,
        on_end=metrics.on_end if metrics else None,
    )


def _metrics(settings: ScalerSettings) -> Metrics | None:
    if not settings.metrics_port:
        return None
    from imagefleet_scaler.metrics import Metrics  # 10 ms, for those who want it

    return Metrics(settings)


def _publisher(settings: ScalerSettings, fleet: Fleet) -> Publisher:
    store = S3Store(
        Aws(attempts=AWS_ATTEMPTS).s3(connections=1),
        input_bucket=settings.input_bucket,
        results_bucket=settings.results_bucket,
    )
    account = partial(
        Account,
        min_workers=settings.min_workers,
        max_workers=settings.max_workers,
        usd_per_hour=settings.worker_usd_per_hour,
        fresh_s=fresh_s(settings.tick_s),
    )
    return Publisher(store, told=fleet.told, account=account, tick_s=settings.tick_s)


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
