"""What is known of a fleet beyond what EC2 just said, which lags and sometimes misses somebody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from imagefleet_scaler.providers.base import Instance, InstanceState
from imagefleet_scaler.providers.ec2.machines import (
    GOING,
    SHUTTING_DOWN,
    STOPPED,
    STOPPING,
    Machine,
)
from imagefleet_scaler.providers.ec2.parts import Parts

# How long a launched instance may go undescribed. Usual is a second; AWS promises nothing.
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
EXPECTED_S = 120
# One that was there is gone once it was missing from two looks so far apart.
MISSED_S = 5
# For so long EC2 describes those that are terminated.
REMEMBERED_S = 3600


@dataclass
class _Known:
    """One instance; all but `launched_at` on a clock that only goes forward.

    Attributes:
        launched_at: in Unix seconds.
        machine: as it was last described; None before that.
        expected_until: it counts as running until then, whatever is described.
        seen_at: the last look that showed it, or when it was launched or started.
        missing_since: the first of the looks in a row that missed it.
        asked_at: when it was last told to go, or first seen going.
    """

    launched_at: float
    spot: bool
    seen_at: float
    machine: Machine | None = None
    expected_until: float | None = None
    missing_since: float | None = None
    asked_at: float | None = None

    @property
    def going(self) -> bool:
        """Whether it is on its way out."""
        return self.asked_at is not None


class Ledger:
    """Merges looks at EC2 with what this scaler did.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._gone: dict[str, float] = {}

    def __contains__(self, instance: str) -> bool:
        return instance in self._known

    def expect(
        self, ids: Iterable[str], launched_at: float, *, spot: bool = False, within_s: float
    ) -> None:
        """Take in that instances were launched or started: they count as running from now on."""
        now = self._clock()
        for each in ids:
            self._known[each] = _Known(launched_at, spot, now, expected_until=now + within_s)

    def ask(self, ids: Iterable[str]) -> None:
        """Take in that instances were told to go."""
        for each in ids:
            if each in self._known:
                self._known[each].asked_at = self._clock()

    def take_in(self, machines: Iterable[Machine]) -> None:
        """Take in a look at all instances."""
        described = {machine.id: machine for machine in machines}
        for machine in described.values():
            self._see(machine)
        for instance in self._known.keys() - described.keys():
            self._miss(instance)
        now = self._clock()
        self._gone = {each: at for each, at in self._gone.items() if now - at < REMEMBERED_S}

    def running(self) -> tuple[int, int]:
        """Return how many run and are not told to go, and how many of these are spot instances."""
        staying = [known for known in self._known.values() if not known.going]
        return len(staying), sum(known.spot for known in staying)

    def instances(self, parts: Parts) -> list[Instance]:
        """Return the fleet; what is made of other parts than these is outdated."""
        return [
            Instance(
                instance,
                InstanceState.STOPPING if known.going else InstanceState.RUNNING,
                known.launched_at,
                outdated=bool(known.machine and parts.outdate(known.machine)),
            )
            for instance, known in self._known.items()
        ]

    def overdue(self, after_s: float) -> list[str]:
        """Return those that were told to go so long ago, and are there."""
        return [
            instance
            for instance, known in self._known.items()
            if known.asked_at is not None and self._clock() - known.asked_at >= after_s
        ]

    def runs(self, instance: str) -> bool:
        """Whether it is there and not on its way out, as far as known."""
        known = self._known.get(instance)
        return known is not None and not known.going

    def was(self, instance: str) -> bool:
        """Whether it is there, or was within the last hour."""
        return instance in self._known or instance in self._gone

    def machine(self, instance: str) -> Machine | None:
        """Return how an instance was last described."""
        known = self._known.get(instance)
        return known.machine if known else None

    def forget(self, ids: Collection[str]) -> None:
        """Take in that EC2 knows of no such instances."""
        for each in ids:
            self._drop(each)

    def _see(self, machine: Machine) -> None:
        known = self._known.get(machine.id)
        if known and self._was_before(machine, known):
            return
        if machine.state == STOPPED:
            self._drop(machine.id)
            return
        now = self._clock()
        if known is None:
            known = self._known[machine.id] = _Known(machine.launched_at, machine.spot, now)
        known.seen_at = now
        known.machine, known.spot = machine, machine.spot
        known.launched_at = machine.launched_at
        known.expected_until = known.missing_since = None
        if machine.state in GOING and known.asked_at is None:
            known.asked_at = now

    def _was_before(self, machine: Machine, known: _Known) -> bool:
        """Whether an instance is described as it was before it was started a moment ago."""
        return (
            machine.state in {STOPPED, STOPPING}
            and known.expected_until is not None
            and self._clock() < known.expected_until
        )

    def _miss(self, instance: str) -> None:
        known, now = self._known[instance], self._clock()
        if known.expected_until is not None:
            gone = now >= known.expected_until
        elif known.machine and known.machine.state == SHUTTING_DOWN:
            gone = True
        elif now - known.seen_at >= EXPECTED_S:
            gone = True  # nobody looked for long: this scaler stood by, or EC2 did not answer
        elif known.missing_since is None:
            known.missing_since, gone = now, False
        else:
            gone = now - known.missing_since >= MISSED_S
        if gone:
            self._drop(instance)

    def _drop(self, instance: str) -> None:
        if self._known.pop(instance, None):
            self._gone[instance] = self._clock()
