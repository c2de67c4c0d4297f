"""Whose images wait: what each client queued lately, so that nobody takes all the room there is.

While little waits nobody is held back. The more does, the less one client may have of it: no more
than there is room left (as switches share their buffers: Choudhury and Hahne, "Dynamic queue length
thresholds for shared-memory packet switches", 1998). So one client alone fills half of the backlog,
two fill two thirds, and there is always room for the others.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

# In which half of what was queued is taken for worked on; that halves everybody's alike.
HALF_LIFE_S = 300.0
# But nobody is blamed for more than was queued in some hours: that may wait still, what is older
# waited before this process was there, or came by another host.
WAITS_S = 6 * 3600.0
# Of the backlog that there may be: who queued less lately is never held back. It is small, as one
# process of many sees but a part of a client's images.
NEGLIGIBLE = 0.01
# Clients that are remembered; the one that queued something longest ago is forgotten first.
MOST_CLIENTS = 10_000


@dataclass(slots=True)
class _Queued:
    """Images as of a time, from when on they fade: half of them in so many seconds."""

    half_life_s: float
    images: float = 0.0
    at: float = 0.0

    def left(self, now: float) -> float:
        return self.images * float(0.5 ** ((now - self.at) / self.half_life_s))

    def add(self, images: int, now: float) -> None:
        self.images, self.at = self.left(now) + images, now


class Portions:
    """Keeps count of each client; safe to share between threads.

    Args:
        room: images that may wait.
        processes: that share what comes, of which this one sees its part.
    """

    def __init__(
        self, room: int, processes: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._room = room
        self._processes = processes
        self._clock = clock
        self._lock = Lock()
        self._all = _Queued(HALF_LIFE_S)
        # Of each, what was queued lately, and what may wait.
        self._clients: OrderedDict[str, tuple[_Queued, _Queued]] = OrderedDict()

    def add(self, client: str, images: int) -> None:
        """Count images that a client queued."""
        now = self._clock()
        with self._lock:
            if client not in self._clients:
                self._clients[client] = _Queued(HALF_LIFE_S), _Queued(WAITS_S)
            for queued in (self._all, *self._clients[client]):
                queued.add(images, now)
            self._clients.move_to_end(client)
            if len(self._clients) > MOST_CLIENTS:
                self._clients.popitem(last=False)

    def too_large(self, client: str, waiting: int) -> int:
        """Return how many of the images that wait are a client's, if those are too many; else 0.

        As this process knows only what it queued itself, it takes the others for alike. Of what
        waits since before, or came by other hosts, nobody here is blamed.
        """
        now = self._clock()
        with self._lock:
            if client not in self._clients:
                return 0
            lately, waits = (queued.left(now) for queued in self._clients[client])
            if lately < NEGLIGIBLE * self._room:
                return 0
            share = lately / self._all.left(now)
        theirs = round(min(waiting * share, waits * self._processes))
        return theirs if theirs > self._room - waiting else 0
