"""The parts of one scaler, put together from its settings."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from imagefleet_core.aws import Aws
from imagefleet_core.s3 import S3Store
from imagefleet_core.sqs import SqsQueues
from imagefleet_scaler.boots import Boots
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.launches import Launches
from imagefleet_scaler.lease import Lease
from imagefleet_scaler.loop import Loop
from imagefleet_scaler.providers.choose import choose_provider
from imagefleet_scaler.publisher import Publisher, fresh_s
from imagefleet_scaler.purse import Purse
from imagefleet_scaler.report import Account
from imagefleet_scaler.settings import ScalerSettings
from imagefleet_scaler.telemetry import Telemetry

if TYPE_CHECKING:
    from imagefleet_scaler.metrics import Metrics

# The next turn tries again anyway; the second try is for a connection that was closed meanwhile.
AWS_ATTEMPTS = 2


class Scaler:
    """A loop, who it tells of its turns, and what it shares with other scalers.

    Args:
        environ: the scaler's environment, of which workers get what they need.
        is_stopping: whether it is about to end.
        dry_run: say what would be done, and change nothing.

    Raises:
        ProviderError: its provider can't work here at all.
    """

    def __init__(
        self,
        settings: ScalerSettings,
        environ: Mapping[str, str],
        is_stopping: Callable[[], bool],
        *,
        dry_run: bool,
    ) -> None:
        self._settings = settings
        aws = Aws(attempts=AWS_ATTEMPTS)
        # One for the turns, one for the ear that listens between them.
        queues = SqsQueues(aws.sqs(connections=2))
        self._store = S3Store(
            aws.s3(connections=2),
            input_bucket=settings.input_bucket,
            results_bucket=settings.results_bucket,
        )
        boots = Boots(settings.boot_s, settings.policy.boot_s, mixed=settings.warm_pool > 0)
        fleet = Fleet(boots=boots, lost_after_s=settings.lost_after_s)
        self._publisher = self._make_publisher(fleet)
        self._metrics = None if dry_run else self._make_metrics()
        listeners = [] if dry_run else [self._publisher.on_turn]
        if self._metrics:
            listeners.append(self._metrics.on_turn)
        self.loop = Loop(
            requests=queues.open(settings.requests_queue),
            telemetry=Telemetry(queues.open(settings.telemetry_queue)),
            provider=choose_provider(settings, environ, is_stopping, journal=Launches(self._store)),
            fleet=fleet,
            config=settings.policy,
            lease=None if dry_run else self._make_lease(),
            purse=Purse(self._store) if settings.max_usd_per_day and not dry_run else None,
            heartbeat=None if dry_run else settings.heartbeat,
            dry_run=dry_run,
            listeners=listeners,
            on_end=self._metrics.on_end if self._metrics else None,
        )

    def run(self, stopping: threading.Event) -> None:
        """Take turns until `stopping` is set, and the loop woken."""
        if self._metrics:
            self._metrics.serve()
        with self._publisher:
            self.loop.run(stopping, self._settings.tick_s)

    def _make_lease(self) -> Lease | None:
        if not self._settings.lease_s:
            return None
        holder = f"{socket.gethostname()}-{os.getpid()}"
        return Lease(self._store, holder, self._settings.lease_s)

    def _make_metrics(self) -> Metrics | None:
        if not self._settings.metrics_port:
            return None
        from imagefleet_scaler.metrics import Metrics  # 10 ms, for those who want it

        return Metrics(self._settings)

    def _make_publisher(self, fleet: Fleet) -> Publisher:
        settings = self._settings
        account = partial(
            Account,
            min_workers=settings.min_workers,
            max_workers=settings.max_workers,
            usd_per_hour=settings.usd_per_hour,
            fresh_s=fresh_s(settings.tick_s),
        )
        return Publisher(self._store, told=fleet.told, account=account, tick_s=settings.tick_s)
