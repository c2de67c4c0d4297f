"""Terminates instances that are in nobody's way, so that trouble with it matters to nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import structlog

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.ec2.terminating import terminate

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# An instance takes a while to shut down.
AGAIN_AFTER_S = 60.0

log = structlog.get_logger()


class Clearing:
    """Terminates each once a while; trouble with it is only told.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, ec2: EC2Client, clock: Callable[[], float]) -> None:
        self._ec2 = ec2
        self._clock = clock
        self._cleared: dict[str, float] = {}
        self._said = ""

    def clear(self, ids: Collection[str]) -> None:
        """Terminate those that it was not tried with lately."""
        now = self._clock()
        self._cleared = {each: at for each, at in self._cleared.items() if now - at < AGAIN_AFTER_S}
        due = [each for each in ids if each not in self._cleared]
        if not due:
            return
        self._cleared |= dict.fromkeys(due, now)
        try:
            terminate(self._ec2, due)
        except ProviderError as error:
            if str(error) != self._said:
                log.warning("what is no longer needed could not be ended", reason=str(error))
            self._said = str(error)
