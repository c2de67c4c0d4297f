"""A bounded number of threads that send, shared fairly: a slow receiver holds up its own client."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from threading import Lock, Thread

Call = Callable[[], None]


class Lanes:
    """Runs calls, first come first served, those of one client in half of the threads at most.

    Threads live while there is something to do. They are daemons, as a receiver that takes its time
    must not hold up the end of the process.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._of_one = max(1, threads // 2)
        self._lock = Lock()
        self._waiting: deque[tuple[str, Call]] = deque()
        self._running: Counter[str] = Counter()

    def run(self, client: str, call: Call) -> None:
        """Run a call, which must not raise, as soon as there is a lane for its client."""
        with self._lock:
            self._waiting.append((client, call))
            taken = self._take()
        if taken:
            Thread(target=self._work, args=taken, name="calling back", daemon=True).start()

    def _work(self, client: str, call: Call) -> None:
        taken: tuple[str, Call] | None = client, call
        while taken:
            client, call = taken
            try:
                call()
            finally:
                with self._lock:
                    self._running[client] -= 1
                    self._running += Counter()  # forgets those who have none
                    taken = self._take()

    def _take(self) -> tuple[str, Call] | None:
        """Return what may run now, and count it; called with the lock held."""
        if self._running.total() >= self._threads:
            return None
        for index, (client, call) in enumerate(self._waiting):
            if self._running[client] < self._of_one:
                del self._waiting[index]
                self._running[client] += 1
                return client, call
        return None
