"""Whether this process has anybody to hear results for: who waits, or uploaded something lately.

While it has not, it need not ask AWS for replies and dead letters, so that a system at rest makes
hardly any calls. What comes meanwhile is found in the store by whoever asks for it later.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Condition

from imagefleet_web.telling.hub import Hub

# Whose results took longer is told of them by a look into the store, as late as that may be after
# such a time.
LATELY_S = 15 * 60.0
# Batches that are known as this process's own; more than it takes in lately, as a rule.
REMEMBERED = 10_000


class Attention:
    """Knows the uploads of late; safe to share between threads."""

    def __init__(self, hub: Hub, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._changed = Condition()
        self._own: OrderedDict[str, float] = OrderedDict()
        self._last = float("-inf")
        hub.attend_watches(self._wake)

    def expect(self, batch: str) -> None:
        """Take note of a batch whose replies come to this process."""
        with self._changed:
            self._last = self._own[batch] = self._clock()
            self._own.move_to_end(batch)
            if len(self._own) > REMEMBERED:
                self._own.popitem(last=False)
            self._changed.notify_all()

    def expects(self, batch: str) -> bool:
        """Whether the replies of a batch come to this process, and it is listening for them."""
        with self._changed:
            return self._clock() - self._own.get(batch, float("-inf")) < LATELY_S

    def needed(self) -> bool:
        """Whether results are worth hearing of as soon as they are there."""
        return self._clock() - self._last < LATELY_S or self._hub.is_waited_at()

    def wait(self, at_most_s: float) -> bool:
        """Wait until that is so; return whether it is."""
        with self._changed:
            return self._changed.wait_for(self.needed, at_most_s)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
