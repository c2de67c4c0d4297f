"""How many results the workers told of: all of them together, and lately each of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime

from imagefleet_core.telemetry import Report

# A worker reports every five seconds and at each change, so this spans at least two reports.
LATELY_S = 10.0
# Those that are gone are forgotten late: EC2's lists lag, and may name one again.
MOST_WORKERS = 5000


class Progress:
    """Counts from report to report.

    Args:
        done: results counted before.
        counted: how many of them each worker had told of.
    """

    def __init__(self, done: int = 0, counted: Mapping[str, int] | None = None) -> None:
        self.done = done
        self._counted = dict(counted or {})
        self._lately: dict[str, deque[tuple[datetime, int]]] = {}

    def update(self, reports: Mapping[str, Report], there: Collection[str]) -> None:
        """Take in the newest report of each worker that told something.

        Args:
            there: the workers there are now.
        """
        for worker, report in reports.items():
            self._count(worker, report.done)
            self._remember(worker, report)
        if len(self._counted) > MOST_WORKERS:
            self._counted = {each: done for each, done in self._counted.items() if each in there}
        self._lately = {each: told for each, told in self._lately.items() if each in there}

    def rate(self, worker: str) -> float | None:
        """Return a worker's results a second lately; None while there are no two reports of it."""
        told = self._lately.get(worker)
        if told is None or len(told) < 2:
            return None
        (since, before), (at, done) = told[0], told[-1]
        return (done - before) / (at - since).total_seconds()

    def _count(self, worker: str, done: int) -> None:
        before = self._counted.get(worker, 0)
        if done >= before:
            self.done += done - before
        elif worker in self._lately:  # it began anew
            self.done += done
            del self._lately[worker]
        else:  # an old report, which came again after the scaler had begun anew
            return
        self._counted[worker] = done

    def _remember(self, worker: str, report: Report) -> None:
        told = self._lately.setdefault(worker, deque())
        if told and report.at <= told[-1][0]:
            return
        told.append((report.at, report.done))
        while len(told) > 2 and (told[-1][0] - told[1][0]).total_seconds() >= LATELY_S:
            told.popleft()
