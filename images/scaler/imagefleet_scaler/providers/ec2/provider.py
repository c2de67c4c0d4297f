"""Workers as EC2 instances: a worker's id is its instance's, and its fleet stands in a tag."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from math import floor
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_scaler.providers.base import Instance, ProviderError
from imagefleet_scaler.providers.ec2 import console, machines
from imagefleet_scaler.providers.ec2.launching import Launching
from imagefleet_scaler.providers.ec2.ledger import Ledger
from imagefleet_scaler.providers.ec2.machines import Machine
from imagefleet_scaler.providers.ec2.refusals import sentence
from imagefleet_scaler.providers.ec2.spec import Ec2Spec
from imagefleet_scaler.providers.ec2.template import ASK_EVERY_S, Template
from imagefleet_scaler.providers.ec2.terminating import terminate
from imagefleet_scaler.providers.ec2.warm import WarmPool
from imagefleet_scaler.providers.journal import Journal

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# A look that `sweep` took serves `list` in the same turn.
FRESH_S = 2.0
# A started instance may be described as stopped for a moment, or be so if nobody knows.
STARTED_S = 30.0
# An instance takes a while to shut down after its worker has.
SHUTDOWN_S = 60.0
# Of stopped instances nobody needs to know at once that they are outdated.
ASK_SELDOM_S = 600.0

log = structlog.get_logger()


class Ec2Provider:
    """Launches instances through a launch template, and finds them by their tags.

    Args:
        ec2: from `Aws.ec2`.
        spec: what is launched.
        journal: where launches are noted, so that the next scaler knows of them.
        retire_grace_s: seconds a retired worker may take before it is terminated again.
        now: Unix seconds.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        ec2: EC2Client,
        spec: Ec2Spec,
        *,
        journal: Journal,
        retire_grace_s: float,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ec2 = ec2
        self._spec = spec
        self._overdue_s = retire_grace_s + SHUTDOWN_S
        self._now = now
        self._clock = clock
        self._ledger = Ledger(clock)
        self._template = Template(ec2, spec.template, clock)
        self._launching = Launching(
            ec2,
            spec,
            template=self._template,
            ledger=self._ledger,
            journal=journal,
            now=now,
            clock=clock,
        )
        self._warm = WarmPool(ec2, spec.warm_pool)
        self._machines: Sequence[Machine] | None = None
        self._fresh_until = float("-inf")
        self._distrusted: set[str] = set()
        self._cleared: dict[str, float] = {}
        self._trouble = ""

    def list(self) -> Sequence[Instance]:
        """Return the instances that are there, and those that were or may have been launched."""
        if self._clock() >= self._fresh_until:
            self._look()
        self._fresh_until = float("-inf")
        # With nobody there, nobody is outdated.
        there = self._ledger.running() != (0, 0)
        version = self._template.known_version() if there else None
        return [*self._ledger.instances(version), *self._launching.expected()]

    def launch(self, count: int) -> Sequence[str]:
        """Start stopped instances, and launch as many new ones as are missing.

        Fewer, where EC2 has no more to give; it then is left alone for a while.
        """
        if count <= 0 or self._launching.pauses or self._launching.recall():
            return []
        started = self._start_warm(count)
        missing = count - len(started)
        launched = self._launching.launch(missing, self._spot(missing)) if missing else []
        return [*started, *launched]

    def retire(self, ids: Collection[str]) -> None:
        """Shut instances down, on which their workers drain; some may be kept, stopped."""
        if not ids:
            return
        if self._machines is None:
            self._look()
        ours = [each for each in ids if each in self._ledger]
        stopped = self._stop_warm(ours)
        self._ledger.ask(stopped)
        ending = [each for each in ours if each not in stopped]
        unknown = terminate(self._ec2, ending)
        self._ledger.ask(ending)
        self._ledger.forget(unknown)

    def last_words(self, ids: Collection[str]) -> Mapping[str, str]:
        """Return the ends of consoles; whoever is asked about is not kept in the warm pool."""
        ours = [each for each in ids if each in self._ledger]
        self._distrusted |= set(ours)
        return console.read(self._ec2, ours)

    def sweep(self) -> None:
        """Find out what became of launches; terminate what does not go, and warm ones too many."""
        seen = self._look()
        self._launching.settle()
        self._distrusted &= {each.id for each in seen}
        if overdue := self._ledger.overdue(self._overdue_s):
            log.warning("workers did not go and are terminated", workers=overdue)
            self._clear(overdue)
            self._ledger.ask(overdue)
        if any(each.state == machines.STOPPED for each in seen):
            version = self._template.known_version(ASK_SELDOM_S)
            self._clear(self._warm.surplus(seen, version, self._now()))
        self._fresh_until = self._clock() + FRESH_S

    def _look(self) -> Sequence[Machine]:
        self._launching.recall_once()
        try:
            seen = machines.describe(self._ec2, self._spec.fleet)
        except (BotoCoreError, ClientError) as error:
            raise ProviderError(f"listing the workers: {sentence(error)}") from error
        self._ledger.take_in(seen)
        self._launching.take_in(seen)
        self._machines = seen
        return seen

    def _spot(self, count: int) -> int:
        """Return how many of the next to launch are to be spot instances."""
        running, spot = self._ledger.running()
        share = floor((running + count) * self._spec.spot_percent / 100 + 0.5)
        return min(count, max(0, share - spot))

    def _start_warm(self, count: int) -> Sequence[str]:
        if not self._spec.warm_pool:
            return []
        seen = self._look() if self._machines is None else self._machines
        resting = [each for each in seen if each.id not in self._ledger]
        if not any(each.state == machines.STOPPED for each in resting):
            return []
        started = self._warm.start(resting, count, self._template.known_version(ASK_EVERY_S))
        self._ledger.expect(started, self._now(), within_s=STARTED_S)
        return started

    def _stop_warm(self, ids: Sequence[str]) -> Sequence[str]:
        if not self._spec.warm_pool:
            return []
        found = [self._ledger.machine(each) for each in ids if each not in self._distrusted]
        candidates = [each for each in found if each]
        return self._warm.stop(self._machines or [], candidates, self._template.known_version())

    def _clear(self, ids: Collection[str]) -> None:
        """Terminate what is in nobody's way, each once a while; trouble with it is only told."""
        now = self._clock()
        self._cleared = {each: at for each, at in self._cleared.items() if now - at < SHUTDOWN_S}
        due = [each for each in ids if each not in self._cleared]
        if not due:
            return
        self._cleared |= dict.fromkeys(due, now)
        try:
            terminate(self._ec2, due)
        except ProviderError as error:
            if str(error) != self._trouble:
                log.warning("what is no longer needed could not be ended", reason=str(error))
            self._trouble = str(error)
