"""What the worker tells the scaler of itself."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from imagefleet_core.bounded import Bounded
from imagefleet_core.errors import QueueMissing, Unavailable
from imagefleet_core.jobs import Result
from imagefleet_core.queues import Queue
from imagefleet_core.telemetry import MOST_S, Report, WorkerState
from imagefleet_worker.outage import Outage

# A report comes at each change of state, and this often.
REPORT_S = 5.0
# How often the state is looked at.
LOOK_S = 0.5
# After this many images a measured second weighs half.
HALF_LIFE = 100


class Tally:
    """Counts the results that were stored; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bounded = Bounded()
        self._codes: Counter[str] = Counter()
        self.done = 0
        self.failed = 0

    def count(self, result: Result) -> None:
        """Take note of a stored result."""
        with self._lock:
            self.done += 1
            if result.error:
                self.failed += 1
                self._codes[self._bounded(result.error.code)] += 1

    def by_code(self) -> tuple[int, dict[str, int]]:
        """Return how many results are labels or outputs, and how many failed, by their codes."""
        with self._lock:
            return self.done - self.failed, dict(self._codes)


class ServiceTime:
    """Seconds one image keeps the worker busy: those of its busiest stage.

    By the utilization law no stage can do more than one image per busy second and image; waiting
    for the next image doesn't count, so the figure holds at any load. (Denning and Buzen, "The
    Operational Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978.)

    Args:
        stages: how many there are.
    """

    def __init__(self, stages: int) -> None:
        self._loads = [0.0] * stages
        self._busy = [0.0] * stages
        self._done = 0
        self._images = 0.0

    def update(self, loads: Sequence[float], done: int) -> None:
        """Learn from the busy seconds of each stage and the images done since the start."""
        fading = 0.5 ** ((done - self._done) / HALF_LIFE)
        self._images = self._images * fading + done - self._done
        self._busy = [
            busy * fading + load - before
            for busy, load, before in zip(self._busy, loads, self._loads, strict=True)
        ]
        self._done, self._loads = done, list(loads)

    def seconds(self) -> float:
        """Return the mean over recent images, 0 before the first."""
        return max(self._busy) / self._images if self._images else 0.0


class Reporter:
    """Sends reports; one thread takes its turns.

    Args:
        worker: the id its provider gave this worker.
        held: how many images it holds now.
        oldest: when the oldest of them was asked for, by the queue's clock.
        newest: when the newest it has had was asked for.
        loads: busy seconds of each stage.
        draining: whether it is about to stop.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        queue: Queue,
        worker: str,
        tally: Tally,
        *,
        held: Callable[[], int],
        oldest: Callable[[], datetime | None],
        newest: Callable[[], datetime | None],
        loads: Callable[[], Sequence[float]],
        draining: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._tally = tally
        self._held = held
        self._oldest = oldest
        self._newest = newest
        self._loads = loads
        self._draining = draining
        self._clock = clock
        self._service = ServiceTime(len(loads()))
        self._outage = Outage("reporting to the scaler", clock)
        self._told: WorkerState | None = None
        self._due_at = 0.0

    def service_s(self) -> float:
        """Return the seconds one image keeps the worker busy, 0 before the first."""
        return self._service.seconds()

    def turn(self) -> float:
        """Report if there is news or it is time; return the seconds to pause after it."""
        self._service.update(self._loads(), self._tally.done)
        state, now = self._state(), self._clock()
        if state is not self._told or now >= self._due_at:
            self._told, self._due_at = state, now + REPORT_S
            self.report(state)
        return LOOK_S

    def report(self, state: WorkerState) -> None:
        """Tell the scaler; a report that gets lost is only logged, as the next one follows."""
        now, oldest = datetime.now(UTC), self._oldest()
        report = Report(
            worker=self._worker,
            state=state,
            at=now,
            in_flight=self._held(),
            done=self._tally.done,
            failed=self._tally.failed,
            service_s=self.service_s(),
            # The queue's clock may be ahead of ours, or ours be far off.
            oldest_s=max(0.0, min(MOST_S, (now - oldest).total_seconds())) if oldest else None,
            newest_at=self._newest(),
        )
        try:
            self._queue.send([report.encode()])
            self._outage.answered()
        except (Unavailable, QueueMissing) as error:
            self._outage.failed(error)

    def _state(self) -> WorkerState:
        if self._draining():
            return WorkerState.DRAINING
        return WorkerState.BUSY if self._held() else WorkerState.IDLE
