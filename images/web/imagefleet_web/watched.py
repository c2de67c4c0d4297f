"""A file that may change while the process runs: every orchestrator can mount one and change it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import structlog

from imagefleet_core.errors import ImagefleetError

log = structlog.get_logger()

FRESH_S = 2.0

T = TypeVar("T")

_Version = tuple[int, int, int]


class Watched(Generic[T]):
    """What a file says; it is looked at every two seconds, by whoever asks then.

    A file that can't be used any more leaves what it said as it was.

    Args:
        what: what the file holds, for the log.
        read: returns what the file says; raises `ImagefleetError` where it can't be used, which at
            first is passed on.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        read: Callable[[Path], T],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._what = what
        self._read = read
        self._clock = clock
        self._looking = Lock()
        self._seen = _version(path)
        self._stale_at = clock() + FRESH_S
        self._known = read(path)

    def get(self) -> T:
        """Return what the file says."""
        if self._clock() >= self._stale_at and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looking.release()
        return self._known

    def _look(self) -> None:
        self._stale_at = self._clock() + FRESH_S
        version = _version(self._path)
        if version == self._seen:
            return
        self._seen = version  # whatever becomes of it, so that it is told once
        try:
            self._known = self._read(self._path)
            log.info("file read again", of=self._what)
        except ImagefleetError as error:
            log.warning("file can't be used, all stays as it was", of=self._what, reason=str(error))


def _version(path: Path) -> _Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
