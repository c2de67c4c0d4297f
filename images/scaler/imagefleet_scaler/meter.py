"""What the workers cost, as EC2 bills them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imagefleet_scaler.policy import Worker

# "Billed per second, with a minimum of 60 seconds." https://aws.amazon.com/ec2/pricing/on-demand/
LEAST_S = 60.0
# Those that are gone are forgotten late: EC2's lists lag, and may name one again.
MOST_WORKERS = 5000


class Meter:
    """Adds up the seconds of every worker that was seen, and what they cost.

    Args:
        usd_per_hour: the price of one worker.
        total_usd: what was counted before.
        billed: when each worker counted in it was launched and last seen, in Unix seconds.
    """

    def __init__(
        self,
        usd_per_hour: float,
        total_usd: float = 0.0,
        billed: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._usd_per_hour = usd_per_hour
        self.total_usd = total_usd
        self._billed_s = {
            worker: billed_s(launched_at, seen_at)
            for worker, (launched_at, seen_at) in (billed or {}).items()
        }

    def update(self, workers: Iterable[Worker], now: float) -> None:
        """Take in who is there at `now`, in Unix seconds."""
        there = {worker.id: billed_s(worker.launched_at, now) for worker in workers}
        for worker, seconds in there.items():
            before = self._billed_s.get(worker, 0.0)
            self.total_usd += max(0.0, seconds - before) * self._usd_per_hour / 3600
            self._billed_s[worker] = max(seconds, before)
        if len(self._billed_s) > MOST_WORKERS:
            self._billed_s = there

    def hour_usd(self, workers: int) -> float:
        """Return what so many workers cost an hour."""
        return workers * self._usd_per_hour


def billed_s(launched_at: float, until: float) -> float:
    """Return the seconds that are billed for a worker of that age."""
    return max(LEAST_S, until - launched_at)
