"""What workers that are lost, or never came, have said in the end: told in the log, once each."""

from __future__ import annotations

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.policy import Observation, Phase
from imagefleet_scaler.providers.base import Provider

log = structlog.get_logger()


class LastWords:
    """Asks the provider for them, before the workers are gone."""

    def __init__(self, provider: Provider, fleet: Fleet) -> None:
        self._provider = provider
        self._fleet = fleet
        # Of those that are there, and whether they had ever come to work by then: one that is lost
        # may boot again, given more patience, and fall silent later.
        self._told: frozenset[tuple[str, bool]] = frozenset()

    def tell(self, observation: Observation) -> None:
        """Log them of whoever is newly lost; not to know them is no error."""
        lost = observation.ids({Phase.LOST})
        found = [
            (each, self._fleet.told(each) is not None) for each in (*self._fleet.missed, *lost)
        ]
        new = {each: spoke for each, spoke in found if (each, spoke) not in self._told}
        there = {worker.id for worker in observation.workers}
        self._told = frozenset(each for each in self._told.union(found) if each[0] in there)
        if not new:
            return
        try:
            words = self._provider.last_words(new)
        except ImagefleetError as error:
            log.debug("nobody knows what they have said", reason=str(error))
            words = {}
        for worker, spoke in new.items():
            event = "a worker fell silent" if spoke else "a worker never came to work"
            log.warning(event, worker=worker, said=words.get(worker, ""))
