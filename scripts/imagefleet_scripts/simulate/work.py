"""Images and the workers that do them, exactly and fast: one heap operation an image.

Workers take the image that waits longest as soon as they are free, as SQS's long polls do.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A message whose worker is gone comes back when its visibility times out, which workers extend
# to this at every third of it.
VISIBILITY_S = 30.0

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a queue tells, and how many images are finished."""

    visible: int
    in_flight: int
    done: int


class Work:
    """Images that arrive at given times and take given times.

    Args:
        arrivals: when each comes, in seconds, ascending.
        services: how long each keeps a worker busy.
    """

    def __init__(self, arrivals: Seconds, services: Seconds) -> None:
        # A Python loop reads arrays three times as fast as NumPy's.
        self._arrivals = array("d", arrivals.tobytes())
        self._services = array("d", services.tobytes())
        self._finished = array("d", bytes(8 * len(arrivals)))
        self._next = 0
        self._given = 0
        self._back: list[tuple[float, int]] = []
        self._free: list[tuple[float, int]] = []
        self._busy_until: dict[int, float] = {}
        self._holds: dict[int, int] = {}
        self.busy_kills = 0

    @property
    def images(self) -> int:
        """How many there are, come or not."""
        return len(self._arrivals)

    def arrived(self, now: float) -> int:
        """Return how many have come by `now`."""
        return bisect_right(self._arrivals, now)

    def next_arrival(self) -> float | None:
        """Return when the next image comes that nobody has begun, if one will."""
        return self._arrivals[self._next] if self._next < self.images else None

    def newest_begun(self) -> float | None:
        """Return when the newest image came that a worker has begun."""
        return self._arrivals[self._next - 1] if self._next else None

    def busy(self, now: float) -> frozenset[int]:
        """Return the workers that hold an image."""
        return frozenset(worker for worker, until in self._busy_until.items() if until > now)

    def join(self, worker: int, now: float) -> None:
        """Let a worker begin."""
        self._busy_until[worker] = now
        heapq.heappush(self._free, (now, worker))

    def drain(self, worker: int, now: float) -> float:
        """Let a worker finish what it holds and go; return when it is gone."""
        self._holds.pop(worker, None)
        return max(now, self._busy_until.pop(worker))

    def kill(self, worker: int, now: float) -> None:
        """End a worker; what it holds is lost until it comes back."""
        if self._busy_until.pop(worker) > now:
            image = self._holds[worker]
            heapq.heappush(self._back, (now + VISIBILITY_S, image))
            self._given -= 1
            self.busy_kills += 1
        self._holds.pop(worker, None)

    def busy_s(self, worker: int, now: float) -> float:
        """Return how long it will be busy still."""
        return max(0.0, self._busy_until[worker] - now)

    def counts(self, now: float) -> Counts:
        """Return the counts as they are; `advance` must have come to `now`."""
        in_flight = sum(until > now for until in self._busy_until.values())
        return Counts(self.arrived(now) - self._given, in_flight, self._given - in_flight)

    def advance(self, until: float) -> None:
        """Give out all images that somebody can begin by `until`."""
        arrivals, services, finished = self._arrivals, self._services, self._finished
        free, busy_until, holds, back = self._free, self._busy_until, self._holds, self._back
        following, many = self._next, len(arrivals)
        while free:
            available = arrivals[following] if following < many else np.inf
            again = bool(back) and back[0][0] <= available
            if again:
                available = back[0][0]
            since, worker = free[0]
            if busy_until.get(worker) != since:  # it has gone
                heapq.heappop(free)
                continue
            start = max(available, since)
            if start > until:
                break
            if again:
                image = heapq.heappop(back)[1]
            else:
                image = following
                following += 1
            end = start + services[image]
            finished[image] = end
            busy_until[worker] = end
            holds[worker] = image
            self._given += 1
            heapq.heapreplace(free, (end, worker))
        self._next = following

    def waits(self) -> Seconds:
        """Return for each image the seconds from its arrival to its result."""
        return np.frombuffer(self._finished) - np.frombuffer(self._arrivals)

    def last_result(self) -> float:
        """Return when the last result was there."""
        return float(np.frombuffer(self._finished).max())
