"""Writes the report of the fleet where the web tier finds it, beside the loop and never in its way.

Nothing depends on that object: where it is deleted, late or can't be written, the fleet is run as
before, and only those who look on know less.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

import structlog

from imagefleet_core.errors import DecodeError, ImagefleetError
from imagefleet_core.fleet import REST_S, FleetReport
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_core.store import Store
from imagefleet_core.telemetry import Report
from imagefleet_scaler.policy import Decision, Observation
from imagefleet_scaler.report import Account, Turn

log = structlog.get_logger()

# What is new is written at once, but not more often than this.
PACE_S = 2.0
# While anything goes on it is written this often, new or not, to tell that the scaler is at work.
REPEAT_S = 10.0
REPEAT_TURNS = 5
# Tries after one that failed.
LONGEST_PAUSE_S = 30.0
# Turns that wait while the store does not answer; the oldest are dropped.
MOST_TURNS = 1000
# What the last report may take when the scaler stops.
CLOSE_S = 2.0

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Publisher:
    """Listens to the loop; a thread of its own writes while the publisher is entered.

    Args:
        told: gives the newest report of a worker; called by the loop's thread.
        account: makes an account that goes on from the report that is there, if any.
        tick_s: seconds between two turns.
    """

    def __init__(
        self,
        store: Store,
        *,
        told: Callable[[str], Report | None],
        account: Callable[[FleetReport | None], Account],
        tick_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._told = told
        self._make_account = account
        self._repeat_s = repeat_s(tick_s)
        self._clock = clock
        self._turns: deque[Turn] = deque(maxlen=MOST_TURNS)
        self._came = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telling of the fleet", daemon=True)
        self._account: Account | None = None
        self._version = ""
        self._written: FleetReport | None = None
        self._written_at = 0.0
        self._pause_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say farewell, if the store answers soon."""
        self._closing.set()
        self._came.set()
        self._thread.join(CLOSE_S)

    def on_turn(self, observation: Observation, decision: Decision) -> None:
        """Take note of a turn of the loop; returns at once."""
        told = {worker.id: self._told(worker.id) for worker in observation.workers}
        reports = {worker: report for worker, report in told.items() if report}
        self._turns.append(Turn(observation, decision, reports))
        self._came.set()

    def work(self, *, last: bool = False) -> float:
        """Take in the turns that came and write what is new; return the seconds to rest then.

        Args:
            last: tell, too, that no more follows.
        """
        try:
            wrote = self._work(last=last)
        except Exception as error:  # noqa: BLE001  # nobody's fleet may depend on this
            return self._failed(error)
        if wrote and self._pause_s:
            log.info("the fleet's report is written again")
            self._pause_s = 0.0
        return PACE_S if wrote else 0.0

    def _run(self) -> None:
        while True:
            self._came.wait()
            last = self._closing.is_set()
            self._came.clear()
            rest_s = self.work(last=last)
            if last:
                return
            self._closing.wait(rest_s)

    def _work(self, *, last: bool) -> bool:
        """Return whether anything was written."""
        if self._account is None:
            self._account = self._make_account(self._recall())
        while self._turns:
            self._account.add(self._turns.popleft())
        report = self._account.report()
        if report and last:
            report = replace(report, fresh_s=0)
        if report is None or not self._is_due(report):
            return False
        self._write(report)
        self._written, self._written_at = report, self._clock()
        return True

    def _is_due(self, report: FleetReport) -> bool:
        if self._written is None or _state(report) != _state(self._written):
            return True
        within_s = REST_S if report.fresh_s is None else self._repeat_s
        return self._clock() - self._written_at >= within_s

    def _recall(self) -> FleetReport | None:
        """Return the report that is there, and remember its version."""
        note = self._store.read_note(FLEET_REPORT)
        self._version = note.version if note else ""
        try:
            return FleetReport.decode(note.body) if note else None
        except DecodeError as error:
            log.warning("the fleet's old report can't be read; its history ends", reason=str(error))
            return None

    def _write(self, report: FleetReport) -> None:
        body = report.encode().encode()
        version = self._store.write_note(FLEET_REPORT, body, replacing=self._version)
        if version is None:  # it was deleted, or another scaler wrote
            note = self._store.read_note(FLEET_REPORT)
            self._version = note.version if note else ""
            version = self._store.write_note(FLEET_REPORT, body, replacing=self._version)
        self._version = version or self._version

    def _failed(self, error: Exception) -> float:
        """Log a trouble when it begins; return the seconds until the next try."""
        if not self._pause_s:
            log.warning(
                "the fleet's report can't be written",
                reason=str(error),
                exc_info=None if isinstance(error, ImagefleetError) else error,
            )
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or PACE_S)
        return self._pause_s


def repeat_s(tick_s: float) -> float:
    """Return how often a report is written while anything goes on."""
    return min(REPEAT_S, max(PACE_S, REPEAT_TURNS * tick_s))


def fresh_s(tick_s: float) -> float:
    """Return for how long a report tells that the scaler is at work: one may be left out."""
    return 2 * (repeat_s(tick_s) + tick_s)


def _state(report: FleetReport) -> FleetReport:
    """Return what is new in a report if it differs: all but what time alone changes."""
    return replace(report, at=_LONG_AGO, cost=None, history=())
