"""What the policy must remember from turn to turn: a value, small whatever the load.

A scaler that starts anew has none of it, and is only slower to shrink the fleet for that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from imagefleet_scaler.policy.arrivals import Arrivals
from imagefleet_scaler.policy.peaks import Peaks


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision leaves to the next; times in Unix seconds.

    Attributes:
        peaks: how many workers were needed lately.
        arrivals: how many images came lately.
        sent_at: when the newest image that anybody heard of was sent, None where nobody knows.
        empty_since: since when nothing has waited, None while something does.
        launches: when workers were launched in the last minute, one for each.
        spent_day: the day (of UTC, since 1970) on which `spent_usd` was spent.
        at: when this was written.
    """

    peaks: Peaks = field(default_factory=Peaks)
    arrivals: Arrivals = field(default_factory=Arrivals)
    sent_at: float | None = None
    empty_since: float | None = None
    launches: tuple[float, ...] = ()
    spent_day: int = 0
    spent_usd: float = 0
    at: float = 0
