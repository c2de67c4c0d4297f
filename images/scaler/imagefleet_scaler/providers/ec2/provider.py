"""Workers as EC2 instances: a worker's id is its instance's, and its fleet stands in a tag."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from math import floor
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_scaler.providers.base import Instance, ProviderError
from imagefleet_scaler.providers.ec2 import endings, machines
from imagefleet_scaler.providers.ec2.clearing import Clearing
from imagefleet_scaler.providers.ec2.launching import Launching
from imagefleet_scaler.providers.ec2.ledger import Ledger
from imagefleet_scaler.providers.ec2.machines import Machine
from imagefleet_scaler.providers.ec2.parts import Parts
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
        self._warm = WarmPool(ec2, spec.warm_pool, clock)
        self._clearing = Clearing(ec2, clock)
        self._machines: Sequence[Machine] | None = None
        self._fresh_until = float("-inf")
        self._distrusted: set[str] = set()

    def list(self) -> Sequence[Instance]:
        """Return the instances that are there, and those that were or may have been launched."""
        if self._clock() >= self._fresh_until:
            self._look()
        self._fresh_until = float("-inf")
        # With nobody there, nobody is outdated.
        there = self._ledger.running() != (0, 0)
        parts = self._parts() if there else Parts(None)
        return [*self._ledger.instances(parts), *self._launching.expected()]

    def launch(self, count: int) -> Sequence[str]:
        """Start stopped instances, and launch as many new ones as are missing.

        Fewer, where EC2 has no more to give; it then is left alone for a while, but for stopped
        ones.
        """
        if count <= 0:
            return []
        resting = self._resting()
        if (not resting and self._launching.pauses) or self._launching.recall():
            return []
        started = self._start_warm(resting, count)
        missing = count - len(started)
        try:
            if not missing or self._launching.pauses:
                return started
            return [*started, *self._launching.launch(missing, self._spot(missing))]
        except ProviderError:
            if not started:
                raise
            return started  # if others are missing still, the next turn meets the same

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
        """Return EC2's reasons and the ends of consoles.

        Whoever is asked about is not kept in the warm pool.
        """
        ours = [each for each in ids if self._ledger.was(each)]
        self._distrusted |= set(ours)
        return endings.read(self._ec2, ours, [each for each in ours if not self._ledger.runs(each)])

    def sweep(self) -> None:
        """Find out what became of launches; terminate what does not go, and warm ones too many."""
        seen = self._look()
        self._launching.settle()
        there = {each.id for each in seen}
        self._distrusted = {
            each for each in self._distrusted if each in there or self._ledger.was(each)
        }
        if overdue := self._ledger.overdue(self._overdue_s):
            log.warning("workers did not go and are terminated", workers=overdue)
            self._clearing.clear(overdue)
            self._ledger.ask(overdue)
        if stopped := [each for each in seen if each.state == machines.STOPPED]:
            surplus = self._warm.surplus(seen, self._parts(ASK_SELDOM_S), self._now())
            useless = [each.id for each in stopped if each.id in self._distrusted]
            self._clearing.clear(list(dict.fromkeys([*surplus, *useless])))
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

    def _parts(self, every_s: float = ASK_EVERY_S) -> Parts:
        """Return what a new instance would be made of; asks if that was longer ago."""
        return Parts(self._template.known_version(every_s), self._spec.image_id)

    def _resting(self) -> Sequence[Machine]:
        """Return the stopped instances that may be started now."""
        if not self._spec.warm_pool or self._warm.pauses:
            return []
        seen = self._look() if self._machines is None else self._machines
        stopped = [each for each in seen if each.state == machines.STOPPED]
        trusted = [each for each in stopped if each.id not in self._distrusted]
        return [each for each in trusted if each.id not in self._ledger]

    def _start_warm(self, resting: Sequence[Machine], count: int) -> Sequence[str]:
        if not resting:
            return []
        started = self._warm.start(resting, count, self._parts())
        self._ledger.expect(started, self._now(), within_s=STARTED_S)
        return started

    def _stop_warm(self, ids: Sequence[str]) -> Sequence[str]:
        if not self._spec.warm_pool:
            return []
        found = [self._ledger.machine(each) for each in ids if each not in self._distrusted]
        candidates = [each for each in found if each]
        return self._warm.stop(self._machines or [], candidates, self._parts())
