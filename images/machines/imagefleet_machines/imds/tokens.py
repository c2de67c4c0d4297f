"""Tokens of instance metadata: each is one machine's, and for a time that it chose."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

LONGEST_S = 21600
# A machine needs two or three; what is beyond that is somebody's mistake.
MOST = 10_000


class Tokens:
    """The tokens that were given.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given: dict[str, tuple[str, str, float]] = {}
        self._lock = threading.Lock()

    def give(self, instance: str, address: str, ttl_s: int) -> str:
        """Return a new token of an instance, for use from one address."""
        token = secrets.token_urlsafe(42)
        now = self._clock()
        with self._lock:
            if len(self._given) >= MOST:
                self._given = {each: given for each, given in self._given.items() if given[2] > now}
            if len(self._given) >= MOST:
                self._given.clear()  # whoever is refused asks for a new one
            self._given[token] = (instance, address, now + ttl_s)
        return token

    def instance(self, token: str, address: str) -> str | None:
        """Return whose token it is, None if it is nobody's, or not any more."""
        with self._lock:
            instance, given_to, until = self._given.get(token, ("", "", 0.0))
        return instance if given_to == address and self._clock() < until else None


def ttl(text: str) -> int | None:
    """Read the seconds that a token is asked for, None if that is no such number."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return int(text) if 1 <= int(text) <= LONGEST_S else None
