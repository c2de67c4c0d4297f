"""Looks into the store for results that somebody waits for and no reply told of.

A reply is only a hint: it may be lost, or may have gone to another process or to one that is
gone. One thread looks on behalf of all who wait, at a bounded pace: one LIST a batch and a GET
for each new result.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.results import Results

# With replies as fast as they are, hardly anything waits longer than this and has a result.
FIRST_S = 2.0
# Of a batch whose replies go to another process; unless that is on this host, too, nobody else
# will tell of its results.
FOREIGN_S = 0.5
LONGEST_S = 15.0
GROWTH = 1.5
# At most 25 looks a second for nothing: about a tenth of a core.
PACE_S = 0.04
IDLE_S = 0.25


@dataclass(slots=True)
class _Plan:
    """When to look for a batch, and for how long not to look again if it has nothing new."""

    due: float
    interval_s: float


class Lookout:
    """Plans the looks; `turn` takes one of them. For one thread.

    Args:
        replied: whether the replies of a batch come to this process.
    """

    def __init__(
        self,
        hub: Hub,
        results: Results,
        *,
        replied: Callable[[str], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._hub = hub
        self._results = results
        self._replied = replied
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311  # spreads load, hides nothing
        self._plans: dict[str, _Plan] = {}

    def turn(self) -> float:
        """Look for the batch that is most overdue; return seconds until the next turn."""
        now = self._clock()
        wanted = self._hub.wanted()
        self._plans = {batch: self._plans.get(batch) or self._first(batch) for batch in wanted}
        batch = min(self._plans, key=lambda each: self._plans[each].due, default=None)
        if batch is None or self._plans[batch].due > now:
            return IDLE_S
        plan = self._plans[batch]
        # Planned before the look, so that one that fails does not hold up the others.
        self._plan(plan, min(plan.interval_s * GROWTH, LONGEST_S))
        if not self._results.look(batch, wanted[batch]):
            return PACE_S
        self._plan(plan, self._first_s(batch))
        return 0  # where one reply was lost, others were

    def _first(self, batch: str) -> _Plan:
        first_s = self._first_s(batch)
        return _Plan(self._clock() + first_s, first_s)

    def _first_s(self, batch: str) -> float:
        return FIRST_S if self._replied(batch) else FOREIGN_S

    def _plan(self, plan: _Plan, interval_s: float) -> None:
        plan.interval_s = interval_s
        plan.due = self._clock() + interval_s * self._chance.uniform(0.8, 1.2)
