"""How many images a worker holds at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_worker.prefetch import FEWEST, HELD_S, prefetch


@pytest.mark.parametrize(
    ("service_s", "held"),
    [
        pytest.param(0.0, 200, id="nothing is known yet"),
        pytest.param(0.0001, 200, id="never more than allowed"),
        pytest.param(0.016, 63, id="a second's worth of small photographs"),
        pytest.param(0.3, 4, id="slow work"),
        pytest.param(60.0, FEWEST, id="one at work and the next, however slow"),
    ],
)
def test_a_worker_holds_what_it_does_within_a_second(service_s: float, held: int) -> None:
    assert prefetch(service_s, most=200) == held


@given(service_s=st.floats(1e-6, 1e4), most=st.integers(FEWEST, 1000))
def test_the_last_of_what_is_held_never_waits_for_long(service_s: float, most: int) -> None:
    held = prefetch(service_s, most)

    assert FEWEST <= held <= most
    assert held == FEWEST or (held - 1) * service_s < HELD_S
