"""What is known of the fleet: what the scaler wrote of it last, and whether it is still at work.

The report is read when somebody asks, at most once a second for all who do: who comes while it is
being read shares what comes of that. While somebody watches one thread reads on and wakes them;
otherwise it sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

import structlog

from imagefleet_core.errors import DecodeError, ImagefleetError
from imagefleet_core.fleet import REST_S, FleetReport
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_core.store import Note, Store

log = structlog.get_logger()

PACE_S = 1.0
# For how long an answer is waited for where an older one can be told.
PATIENCE_S = 2.0
# A scaler at rest writes once a day. Where images wait for so long and it still rests, it is gone.
OVERDUE_S = 15.0
# How late its daily report may be.
SLACK_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known at one moment.

    Attributes:
        report: the last one, None if there is none that can be read.
        live: whether the scaler is known to be at work, or rests and nothing waits for it.
    """

    report: FleetReport | None
    live: bool


class Fleet:
    """Looks at the fleet's report; safe to share between threads.

    Args:
        waiting: how many images wait for a worker, as far as that is known; asked at rest only.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        store: Store,
        pool: Executor,
        waiting: Callable[[], int | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._pool = pool
        self._waiting = waiting
        self._clock = clock
        self._answered = Condition()  # and its lock guards what an answer changes
        self._answers = 0
        self._asking = False
        self._asked_at = float("-inf")
        self._trouble: BaseException | None = None
        self._version: str | None = None  # None before the first answer
        self._report: FleetReport | None = None
        self._written_at = 0.0
        self._waited_since: float | None = None
        self._changed = Condition()
        self._sight: Sight | None = None
        self._watchers = 0
        self._closed = False

    def look(self) -> Sight:
        """Return what is known, at most a second old unless the store does not answer.

        Raises:
            Unavailable: it never did.
        """
        with self._answered:
            before = self._answers
            if self._is_stale():
                self._ask()
            if self._asking:
                patience_s = None if self._version is None else PATIENCE_S
                self._answered.wait_for(lambda: self._answers > before, patience_s)
            if self._trouble and self._version is None:
                raise self._trouble
            return self._publish(Sight(self._report, self._is_live()))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Have the thread look meanwhile."""
        with self._changed:
            self._watchers += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._watchers -= 1

    def news(self, seen: Sight, within_s: float) -> Sight | None:
        """Return what is known as soon as it isn't what was `seen`, or after so many seconds.

        None means that the process stops.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._sight is not seen, within_s)
            return None if self._closed else self._sight

    def turn(self) -> float:
        """Look for those who watch, once there are some; return seconds until the next turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._watchers)
            closed = self._closed
        if not closed:
            self.look()
        return PACE_S

    def close(self) -> None:
        """Let everybody go who watches, now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_stale(self) -> bool:
        return not self._asking and self._clock() - self._asked_at >= PACE_S

    def _ask(self) -> None:
        """Begin to read the report; `_take_in` hears what comes of it."""
        asked = self._pool.submit(self._store.read_note, FLEET_REPORT)
        self._asking = True
        asked.add_done_callback(self._take_in)

    def _take_in(self, asked: Future[Note | None]) -> None:
        with self._answered:
            # Only from now on, or those who waited would each find it stale again.
            self._asking, self._asked_at = False, self._clock()
            self._answers += 1
            self._answered.notify_all()
            if error := asked.exception():
                if self._trouble is None:
                    foreseen = isinstance(error, ImagefleetError)
                    log.warning(
                        "the fleet's report can't be had",
                        reason=str(error),
                        exc_info=None if foreseen else error,
                    )
                self._trouble = error
            else:
                self._trouble = None
                self._learn(asked.result())

    def _learn(self, note: Note | None) -> None:
        self._written_at = self._clock() - (note.age_s if note else 0)
        version = note.version if note else ""
        if version != self._version:
            self._version, self._report = version, _decode(note)

    def _is_live(self) -> bool:
        if self._report is None:
            return False
        now, fresh_s = self._clock(), self._report.fresh_s
        if now - self._written_at > (REST_S + SLACK_S if fresh_s is None else fresh_s):
            return False
        return fresh_s is not None or not self._is_overdue(now)

    def _is_overdue(self, now: float) -> bool:
        """Return whether images have waited for long for a scaler that rests."""
        if not self._waiting():
            self._waited_since = None
            return False
        self._waited_since = self._waited_since or now
        return now - self._waited_since > OVERDUE_S

    def _publish(self, sight: Sight) -> Sight:
        """Wake those who watch if this is news; return what they are shown."""
        with self._changed:
            if self._sight is None or sight != self._sight:
                self._sight = sight
                self._changed.notify_all()
            return self._sight


def _decode(note: Note | None) -> FleetReport | None:
    try:
        return FleetReport.decode(note.body) if note else None
    except DecodeError as error:
        log.warning("the fleet's report can't be understood", reason=str(error))
        return None
