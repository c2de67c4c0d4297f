"""The rule this design grew out of.

One instance more an interval while the queue is longer than the fleet, one fewer while it is empty.
"""

from __future__ import annotations

from imagefleet_scripts.simulate.policies.base import Action, Look

# What its published times fit with 5 s an image: see workloads.py.
INTERVAL_S = 40.0


class Original:
    """Counts what is visible only, and ends whichever instance comes first, busy or not."""

    interval_s = INTERVAL_S
    wakes = False

    def __init__(self, max_workers: int) -> None:
        self._max = max_workers

    def step(self, look: Look) -> Action:
        """Decide what to do now."""
        fleet = look.fleet
        if look.counts.visible > len(fleet) and len(fleet) < self._max:
            return Action(launch=1)
        if look.counts.visible == 0 and fleet:
            return Action(kill=(fleet[0].id,))
        return Action()
