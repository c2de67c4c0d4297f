"""A socket that waits no longer than until a deadline, whatever the other end does."""

from __future__ import annotations

import io
import socket
import time
from typing import Any

_BLOCK_BYTES = 16 * 1024


class TimedSocket:
    """What `http.client` needs of a socket.

    Each wait is short enough to end at the deadline: a time limit of the socket itself would begin
    anew with every byte.

    Args:
        deadline: of `time.monotonic()`; then whatever is asked raises `TimeoutError`.
        most_bytes: how much is read in all; what is asked beyond raises `ConnectionError`.
    """

    def __init__(self, link: socket.socket, deadline: float, most_bytes: int) -> None:
        self._link = link
        self._deadline = deadline
        self._most_bytes = most_bytes

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        left = memoryview(data)
        while left:
            self._link.settimeout(seconds_until(self._deadline))
            left = left[self._link.send(left[:_BLOCK_BYTES]) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what is received."""
        return io.BufferedReader(_Received(self._link, self._deadline, self._most_bytes))

    def close(self) -> None:
        """Hang up."""
        self._link.close()


def seconds_until(deadline: float) -> float:
    """Return how long may still be waited; raises `TimeoutError` if no longer."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes too long")
    return left


class _Received(io.RawIOBase):
    def __init__(self, link: socket.socket, deadline: float, most_bytes: int) -> None:
        self._link = link
        self._deadline = deadline
        self._left = most_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            raise ConnectionError("the answer is too long")
        self._link.settimeout(seconds_until(self._deadline))
        count = self._link.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count
