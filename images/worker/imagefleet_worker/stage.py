"""A stage of the pipeline: an inbox, and what is done with whatever waits in it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from imagefleet_core.errors import ImagefleetError, Unavailable
from imagefleet_worker.backoff import pause_s
from imagefleet_worker.outage import Outage

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(slots=True)
class _Waiting(Generic[T]):
    """An item that waits for its turn: its first, or one after some that failed."""

    item: T
    tries: int = 0
    ready_at: float = 0.0


class Stage(Generic[T]):
    """Handles up to `at_most` waiting items at a time; any number of threads may take turns.

    Items for which AWS is `Unavailable` are tried again later, while others go on: it may be
    about one of them only. An item that the handler fails on in any other way is given to `spoil`,
    and the rest of its batch goes on.

    Args:
        name: what it does, for logs and threads: "fetching images".
        handle: works on a batch; must be harmless to call twice with the same items.
        spoil: takes an item that can't be handled.
        threads: how many will take turns, for `load_s`.
        gather_s: how long a batch that is not full waits for more...
        more_coming: ...as long as this says that there will be more.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[list[T]], None],
        spoil: Callable[[T], None],
        *,
        clock: Callable[[], float],
        threads: int = 1,
        at_most: int = 1,
        gather_s: float = 0.0,
        more_coming: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = name
        self.threads = threads
        self._handle = handle
        self._spoil = spoil
        self._clock = clock
        self._at_most = at_most
        self._gather_s = gather_s
        self._more_coming = more_coming
        self._outage = Outage(name, clock)
        self._inbox: deque[_Waiting[T]] = deque()
        self._later: list[_Waiting[T]] = []
        self._changed = threading.Condition()
        self._began: dict[int, float] = {}
        self._busy_s = 0.0
        self._handled = 0
        self._moved_at = clock()

    def put(self, items: Iterable[T]) -> None:
        """Let `items` wait for their turn."""
        with self._changed:
            if not self._inbox and not self._began:
                self._moved_at = self._clock()
            self._inbox.extend(_Waiting(item) for item in items)
            self._changed.notify()

    def take_back(self) -> list[T]:
        """Return all that wait, for the first time or again; none of them is handled any more."""
        with self._changed:
            waiting = [each.item for each in (*self._inbox, *self._later)]
            self._inbox.clear()
            self._later.clear()
            return waiting

    def turn(self, wait_s: float = 0.0) -> bool:
        """Handle what is ready, waiting up to `wait_s` for it; return whether anything was."""
        batch = self._take(wait_s)
        if batch:
            self._timed(batch)
        return bool(batch)

    def waiting(self) -> int:
        """Return how many items wait to be taken at once."""
        return len(self._inbox)

    def load_s(self) -> float:
        """Return the seconds its threads have been busy since the start, each on average."""
        return self._busy_s / self.threads

    def handled(self) -> int:
        """Return how many items turns have taken since the start, repeated tries included."""
        return self._handled

    def longest_turn_s(self) -> float:
        """Return for how long the oldest turn now under way has been going on."""
        return max((self._clock() - began for began in list(self._began.values())), default=0.0)

    def stuck_s(self) -> float:
        """Return for how long nothing has come of what waits or is worked on, 0 without any.

        What waits for AWS to answer again is not counted: that is no fault of the stage.
        """
        has_input = bool(self._inbox or self._began)
        return self._clock() - self._moved_at if has_input else 0.0

    def _take(self, wait_s: float) -> list[_Waiting[T]]:
        with self._changed:
            self._changed.wait_for(lambda: self._inbox, self._recall(wait_s))
            if self._inbox and self._gather_s and self._more_coming():
                self._changed.wait_for(lambda: len(self._inbox) >= self._at_most, self._gather_s)
            batch = [self._inbox.popleft() for _ in range(min(self._at_most, len(self._inbox)))]
            if self._inbox:
                self._changed.notify()
            return batch

    def _recall(self, wait_s: float) -> float:
        """Let those that failed before wait again; return the seconds until the next, if less."""
        if not self._later:
            return wait_s
        now = self._clock()
        self._inbox.extend(each for each in self._later if each.ready_at <= now)
        self._later = [each for each in self._later if each.ready_at > now]
        return min([wait_s, *(each.ready_at - now for each in self._later)])

    def _timed(self, batch: list[_Waiting[T]]) -> None:
        me = threading.get_ident()
        self._began[me] = self._clock()
        try:
            self._try(batch)
        finally:
            now = self._clock()
            with self._changed:
                self._busy_s += now - self._began.pop(me)
                self._handled += len(batch)
                self._moved_at = now

    def _try(self, batch: list[_Waiting[T]]) -> None:
        try:
            self._handle([each.item for each in batch])
            self._outage.answered()
        except Unavailable as error:
            self._outage.failed(error)
            self._postpone(batch)
        except Exception as error:
            if len(batch) > 1:
                for each in batch:
                    self._try([each])
            else:
                log.error(  # noqa: TRY400
                    "an image could not be worked on",
                    doing=self.name,
                    reason=str(error),
                    # Errors of our own say all there is to say.
                    exc_info=not isinstance(error, ImagefleetError),
                )
                self._spoil(batch[0].item)

    def _postpone(self, batch: list[_Waiting[T]]) -> None:
        with self._changed:
            for each in batch:
                each.tries += 1
                each.ready_at = self._clock() + pause_s(each.tries)
            self._later += batch
