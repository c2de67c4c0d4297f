"""How many workers were needed lately, in as few numbers as it takes to know the peak."""

from __future__ import annotations

from dataclasses import dataclass

# After a gap this long (an outage, a suspended laptop) nobody knows what was needed meanwhile.
LONGEST_GAP_S = 60


@dataclass(frozen=True, slots=True)
class Peaks:
    """A value: `extended` gives a new one.

    Attributes:
        began_at: Unix seconds since when the need has been watched without a gap.
        falling: `(when, need)`, ever later and ever lower; only these can still be the peak.
    """

    began_at: float = 0
    falling: tuple[tuple[float, int], ...] = ()

    @property
    def peak(self) -> int:
        """The most that was needed in the window of the last `extended`."""
        return self.falling[0][1]

    def extended(self, now: float, need: int, window_s: float) -> Peaks:
        """Add what is needed now and forget what is older than `window_s`.

        A clock that went back, or a long gap, begins anew.
        """
        if not self.falling or not 0 <= now - self.falling[-1][0] <= max(window_s, LONGEST_GAP_S):
            return Peaks(now, ((now, need),))
        still = [(at, was) for at, was in self.falling if at >= now - window_s and was > need]
        return Peaks(self.began_at, (*still, (now, need)))

    def covers(self, window_s: float) -> bool:
        """Return whether the need has been watched for `window_s` by now."""
        return self.falling[-1][0] - self.began_at >= window_s
