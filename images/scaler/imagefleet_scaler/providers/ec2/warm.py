"""The warm pool: instances that are stopped instead of terminated, to be started again sooner."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.ec2.machines import PENDING, RUNNING, STOPPED, STOPPING, Machine
from imagefleet_scaler.providers.ec2.refusals import is_unknown, sentence

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# A stopped instance misses what the image would have learned since; its disk costs money.
LONGEST_S = 7 * 24 * 3600

log = structlog.get_logger()


class WarmPool:
    """Keeps up to `size` instances stopped.

    What it holds is read back from EC2; it remembers only what EC2 does not show yet.
    """

    def __init__(self, ec2: EC2Client, size: int) -> None:
        self._ec2 = ec2
        self._size = size
        self._asked: set[str] = set()

    def start(self, machines: Iterable[Machine], count: int, version: int | None) -> list[str]:
        """Start up to `count` stopped instances of that template version; return which.

        Those that there is no capacity for, or that are gone, stay as they are.
        """
        stopped = [each.id for each in machines if each.state == STOPPED and _fits(each, version)]
        chosen = stopped[:count]
        if not chosen:
            return []
        try:
            self._start(chosen)
        except (BotoCoreError, ClientError) as error:
            if not isinstance(error, ClientError) or is_unknown(error):
                # Starting twice does no harm, so the next turn may just try again.
                raise ProviderError(f"starting stopped workers: {sentence(error)}") from error
            log.info("not all stopped workers can be started", reason=sentence(error))
            chosen = [each for each in chosen if len(chosen) > 1 and self._starts(each)]
        self._asked -= set(chosen)
        return chosen

    def stop(
        self, machines: Collection[Machine], candidates: Iterable[Machine], version: int | None
    ) -> list[str]:
        """Stop as many of the candidates as the pool has room for; return which.

        Args:
            machines: all that were described.
            candidates: those that may be stopped.
            version: of the template, that they must have.
        """
        asked = [each for each in machines if each.id in self._asked]
        self._asked = {each.id for each in asked if each.state in {PENDING, RUNNING}}
        kept = {each.id for each in machines if each.state in {STOPPED, STOPPING}} | self._asked
        fit = [each.id for each in candidates if _fits(each, version) and each.id not in kept]
        chosen = fit[: max(0, self._size - len(kept))]
        if not chosen:
            return []
        try:
            self._ec2.stop_instances(InstanceIds=chosen)
        except (BotoCoreError, ClientError) as error:
            log.info("workers can't be stopped and are terminated", reason=sentence(error))
            return []
        self._asked |= set(chosen)
        return chosen

    def surplus(self, machines: Iterable[Machine], version: int | None, now: float) -> list[str]:
        """Return the stopped instances that are too many, outdated, or stopped for too long.

        Args:
            now: Unix seconds.
        """
        stopped = [each for each in machines if each.state == STOPPED]
        useful = [each for each in stopped if _is_current(each, version) and not _is_old(each, now)]
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


def _fits(machine: Machine, version: int | None) -> bool:
    return machine.ebs and not machine.spot and version is not None and machine.version == version


def _is_current(machine: Machine, version: int | None) -> bool:
    """Whether nothing is known against it; a template that can't be asked for outdates nobody."""
    return version is None or machine.version == version


def _is_old(machine: Machine, now: float) -> bool:
    return now - (machine.changed_at or now) > LONGEST_S
