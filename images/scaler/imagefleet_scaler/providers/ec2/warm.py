"""The warm pool: instances that are stopped instead of terminated, to be started again sooner."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.ec2.backoff import Backoff
from imagefleet_scaler.providers.ec2.ledger import EXPECTED_S
from imagefleet_scaler.providers.ec2.machines import PENDING, RUNNING, STOPPED, STOPPING, Machine
from imagefleet_scaler.providers.ec2.parts import Parts
from imagefleet_scaler.providers.ec2.refusals import is_throttled, is_unknown, sentence

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# A stopped instance misses what the image would have learned since; its disk costs money.
LONGEST_S = 7 * 24 * 3600

log = structlog.get_logger()


class WarmPool:
    """Keeps up to `size` instances stopped.

    What it holds is read back from EC2; it remembers only what EC2 does not show yet.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, ec2: EC2Client, size: int, clock: Callable[[], float]) -> None:
        self._ec2 = ec2
        self._size = size
        self._clock = clock
        self._backoff = Backoff(clock)
        # When a start failed last without anybody knowing what became of it.
        self._failed_at = float("-inf")
        # When each was told to stop.
        self._asked: dict[str, float] = {}

    @property
    def pauses(self) -> bool:
        """Whether none could be started lately."""
        return self._backoff.lasts

    def start(self, machines: Iterable[Machine], count: int, parts: Parts) -> list[str]:
        """Start up to `count` stopped instances of these parts; return which.

        Those that there is no capacity for, or that are gone, stay as they are. Where none could be
        started, it `pauses`.
        """
        stopped = [each.id for each in machines if each.state == STOPPED and _fits(each, parts)]
        chosen = stopped[:count]
        if not chosen:
            return []
        try:
            self._start(chosen)
        except (BotoCoreError, ClientError) as error:
            if not isinstance(error, ClientError) or is_unknown(error):
                if self._clock() - self._failed_at < EXPECTED_S:
                    # One that always fails must not keep new ones from being launched for ever;
                    # but for now they count, as they may have been started.
                    self._backoff.begin()
                    return chosen
                # Starting twice does no harm, so the next turn just tries again.
                self._failed_at = self._clock()
                raise ProviderError(f"starting stopped workers: {sentence(error)}") from error
            log.info("not all stopped workers can be started", reason=sentence(error))
            one_by_one = len(chosen) > 1 and not is_throttled(error)
            chosen = [each for each in chosen if one_by_one and self._starts(each)]
        self._failed_at = float("-inf")
        if chosen:
            self._backoff.reset()
        else:
            self._backoff.begin()
        self._asked = {each: at for each, at in self._asked.items() if each not in chosen}
        return chosen

    def stop(
        self, machines: Collection[Machine], candidates: Iterable[Machine], parts: Parts
    ) -> list[str]:
        """Stop as many of the candidates as the pool has room for; return which.

        Args:
            machines: all that were described.
            candidates: those that may be stopped.
            parts: that they must have.
        """
        now = self._clock()
        alive = {each.id for each in machines if each.state in {PENDING, RUNNING}}
        self._asked = {
            each: at for each, at in self._asked.items() if each in alive and now - at < EXPECTED_S
        }
        kept = {each.id for each in machines if each.state in {STOPPED, STOPPING}}
        kept |= self._asked.keys()
        fit = [each.id for each in candidates if _fits(each, parts) and each.id not in kept]
        chosen = fit[: max(0, self._size - len(kept))]
        if not chosen:
            return []
        try:
            self._ec2.stop_instances(InstanceIds=chosen)
        except (BotoCoreError, ClientError) as error:
            log.info("workers can't be stopped and are terminated", reason=sentence(error))
            return []
        self._asked |= dict.fromkeys(chosen, now)
        return chosen

    def surplus(self, machines: Iterable[Machine], parts: Parts, now: float) -> list[str]:
        """Return the stopped instances that are too many, outdated, or stopped for too long.

        Args:
            now: Unix seconds.
        """
        stopped = [each for each in machines if each.state == STOPPED]
        useful = [each for each in stopped if parts.may_fit(each) and not _is_old(each, now)]
        useful.sort(key=lambda each: each.changed_at or each.launched_at)
        kept = {each.id for each in useful[max(0, len(useful) - self._size) :]}
        return [each.id for each in stopped if each.id not in kept]

    def _start(self, ids: list[str]) -> None:
        self._ec2.start_instances(InstanceIds=ids)

    def _starts(self, instance: str) -> bool:
        try:
            self._start([instance])
        except (BotoCoreError, ClientError) as error:
            # One that may have been started counts, or another would be launched in its place.
            return is_unknown(error)
        return True


def _fits(machine: Machine, parts: Parts) -> bool:
    return machine.ebs and not machine.spot and parts.fit(machine)


def _is_old(machine: Machine, now: float) -> bool:
    return now - (machine.changed_at or now) > LONGEST_S
