"""Two scalers that both act, as the lease of one ran out unnoticed: no launch is made twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.typing import EventDict

from ec2_account import BadDay, bad_day
from ec2_faults import only
from fakes import MemoryStore
from imagefleet_scaler.launches import Launches
from imagefleet_scaler.providers.ec2.provider import Ec2Provider


class Interrupted(Launches):
    """A journal whose `nth` write from now lets somebody else go first."""

    nth = 0
    others: Callable[[], object] = staticmethod(lambda: None)

    def write(self, text: str) -> None:
        self.nth -= 1
        if self.nth == 0:
            self.others()
        super().write(text)


@dataclass
class Two:
    """Two scalers over one journal; the journal of the first can be interrupted."""

    first: Ec2Provider
    second: Ec2Provider
    journal: Interrupted


def two(day: BadDay, **spec: Any) -> Two:
    store = MemoryStore()
    journal = day.account.journals["test"] = Interrupted(store)
    first = day.account.open(ec2=day.ec2.client, **spec)
    day.account.journals["test"] = Launches(store)
    second = day.account.open(ec2=day.ec2.client, **spec)
    for each in (first, second):
        each.sweep()
        each.list()
    return Two(first, second, journal)


def test_an_order_is_not_made_once_another_scaler_noted_its_own(
    day: BadDay, logged: list[EventDict]
) -> None:
    scalers = two(day)
    launched: list[str] = []
    scalers.journal.others = lambda: launched.extend(scalers.second.launch(3))
    scalers.journal.nth = 1

    assert scalers.first.launch(3) == []

    assert set(launched) == day.account.ids()
    assert len(launched) == 3
    (said,) = [entry for entry in logged if entry["log_level"] == "warning"]
    assert said["reason"] == "another scaler has noted a launch meanwhile"
    # It knows of them from the next turn on, though nobody describes them yet.
    day.ec2.hidden = day.account.ids()
    assert scalers.first.launch(3) == []
    assert {each.id for each in scalers.first.list()} == set(launched)


def test_a_launch_ends_between_its_calls_once_another_scaler_noted_its_own() -> None:
    with bad_day() as day:
        scalers = two(day, spot_percent=100)
        day.ec2.plan("create_fleet", only(2, "MaxSpotInstanceCountExceeded"))
        others: list[str] = []

        def act() -> None:
            assert scalers.second.launch(2) == []  # it heeds what the first one noted
            others.extend(scalers.second.launch(2))

        # Before and after the first call, and before the second.
        scalers.journal.others, scalers.journal.nth = act, 3

        launched = scalers.first.launch(5)

        assert len(launched) == len(others) == 2
        assert day.account.ids() == {*launched, *others}


def test_an_outcome_that_cannot_be_noted_any_more_is_known_all_the_same(day: BadDay) -> None:
    scalers = two(day)

    def act() -> None:
        for _ in range(2):
            scalers.second.launch(3)

    scalers.journal.others, scalers.journal.nth = act, 2

    launched = scalers.first.launch(3)

    assert len(launched) == 3
    assert set(launched) == day.account.ids()
    assert {each.id for each in scalers.second.list()} == set(launched)


@pytest.mark.parametrize("wanted", [1, 3])
def test_a_scaler_whose_order_was_aborted_launches_again_later(day: BadDay, wanted: int) -> None:
    scalers = two(day)
    scalers.journal.others = lambda: scalers.second.launch(1)
    scalers.journal.nth = 1
    scalers.first.launch(wanted)

    day.clock.now += 2
    scalers.first.launch(wanted)  # reads of the other's
    day.clock.now += 2

    assert len(scalers.first.launch(wanted)) == wanted
