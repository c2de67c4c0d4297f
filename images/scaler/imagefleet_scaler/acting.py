"""Doing what was decided, as far as it can be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.lease import Lease
from imagefleet_scaler.policy import Decision
from imagefleet_scaler.providers.base import Provider

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """As much of a decision as was done, and what went wrong with the rest."""

    made: Decision
    trouble: ImagefleetError | None = None

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.trouble:
            raise self.trouble


class Acting:
    """Launches and retires.

    Args:
        fleet: takes in who was launched, and who was sent away.
        lease: lets one of several scalers act; without one this scaler always may.
    """

    def __init__(self, provider: Provider, fleet: Fleet, lease: Lease | None) -> None:
        self._provider = provider
        self._fleet = fleet
        self._lease = lease

    def carry_out(self, decision: Decision) -> Outcome:
        """Launch, then retire whatever became of that: those that are lost cost money all the same.

        Launching may take long, so by then another scaler may act, and retire others.
        """
        launched, refused = self._launch(decision)
        retired, stuck = self._retire(decision)
        return Outcome(replace(decision, launch=len(launched), retire=retired), refused or stuck)

    def _launch(self, decision: Decision) -> tuple[Sequence[str], ImagefleetError | None]:
        if not (decision.launch and self._may_act()):
            return (), None
        try:
            launched = self._provider.launch(decision.launch)
        except ImagefleetError as error:
            return (), error
        self._fleet.launched(launched, decision.at)
        return launched, None

    def _retire(self, decision: Decision) -> tuple[tuple[str, ...], ImagefleetError | None]:
        if not (decision.retire and self._may_act()):
            return (), None
        try:
            self._provider.retire(decision.retire)
        except ImagefleetError as error:
            return (), error
        self._fleet.retired(decision.retire)
        return decision.retire, None

    def _may_act(self) -> bool:
        if self._lease is None or self._lease.is_held:
            return True
        log.warning("this turn took longer than the lease; nothing more is done")
        return False
