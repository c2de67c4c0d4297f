"""A small working provider in memory; machines outlive the provider that started them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from fakes import Outage
from imagefleet_scaler.providers.base import Instance, InstanceState


class Machines:
    """Where all fleets run; `now` is the test's clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.running: dict[tuple[str, str], Instance] = {}

    def kill(self, worker: str) -> None:
        """End a worker from outside."""
        self.running = {key: each for key, each in self.running.items() if key[1] != worker}


class FakeProvider:
    """Starts workers at once; a retired one goes at the next sweep."""

    _numbers = itertools.count(1)

    def __init__(self, machines: Machines, fleet: str = "imagefleet") -> None:
        self.outage = Outage()
        self._machines = machines
        self._fleet = fleet

    def list(self) -> Sequence[Instance]:
        self.outage.check("list")
        return [
            instance
            for (fleet, _), instance in self._machines.running.items()
            if fleet == self._fleet
        ]

    def launch(self, count: int) -> Sequence[str]:
        self.outage.check("launch")
        ids = [f"worker-{next(self._numbers)}" for _ in range(count)]
        for worker in ids:
            self._machines.running[self._fleet, worker] = Instance(
                worker, InstanceState.RUNNING, self._machines.now
            )
        return ids

    def retire(self, ids: Collection[str]) -> None:
        self.outage.check("retire")
        for each in self.list():
            if each.id in ids:
                self._machines.running[self._fleet, each.id] = replace(
                    each, state=InstanceState.STOPPING
                )

    def last_words(self, ids: Collection[str]) -> Mapping[str, str]:
        self.outage.check("last_words")
        ours = [each.id for each in self.list() if each.id in ids]
        return {worker: f"{worker} could not begin" for worker in ours}

    def sweep(self) -> None:
        self.outage.check("sweep")
        for each in self.list():
            if each.state is InstanceState.STOPPING:
                self._machines.kill(each.id)
