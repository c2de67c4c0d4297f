"""Keeps the files of one request while they are judged and stored.

They lie one after the other: in memory while they are small, else in a single unnamed temporary
file, which takes one file descriptor and no memory, however many they are and however large.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import IO, Any, BinaryIO, Self, cast

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_web import problems
from imagefleet_web.problems import Problem

log = structlog.get_logger()

# Of one request. Of a small image, making a file takes longer than all else that is done to it.
IN_MEMORY_BYTES = 256 * 1024
# Of all requests of a process together.
ALL_IN_MEMORY_BYTES = 32 * 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}


class SpoolError(ImagefleetError):
    """Uploads can't be kept where they were to be."""


def require_folder(folder: str) -> None:
    """Return if uploads can be kept in a folder, were it full now; raises `SpoolError`."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno not in _FULL:
            raise SpoolError(
                f"IMAGEFLEET_SPOOL_DIR is {folder!r}: expected a folder that can be written to "
                f"({error.strerror})"
            ) from error


class Room:
    """Memory that the requests of a process share; safe to share between threads."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Take as many bytes, if there are."""
        with self._lock:
            taken = size <= self._left
            self._left -= size * taken
            return taken

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._left += size


_ROOM = Room(ALL_IN_MEMORY_BYTES)


class Spool:
    """The files of one request; closing it forgets them. For one thread while it is written.

    Args:
        folder: where the file lies that is not kept in memory, empty for the system's default.

    Raises:
        Problem: there is no room, while a file is written.
    """

    def __init__(self, room: Room = _ROOM, folder: str = "") -> None:
        self._room = room
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forget_memory()
        if self._file:
            self._file.close()

    def new(self, max_bytes: int) -> SpooledFile:
        """Begin the next file, of which no more than `max_bytes` are kept."""
        return SpooledFile(self, self._size, max_bytes)

    def append(self, data: memoryview) -> None:
        """Keep what follows."""
        with _explained(self._folder):
            if self._file is None and not self._fits(len(data)):
                self._move_to_disk()
            if self._file is None:
                self._memory += data
            else:
                _write(self._file, data)
        self._size += len(data)

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Fill a buffer with what is kept from `at` on; return how much of it."""
        if self._file is not None:
            return os.preadv(self._file.fileno(), [buffer], at)
        found = self._memory[at : at + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def _fits(self, more: int) -> bool:
        return len(self._memory) + more <= IN_MEMORY_BYTES and self._room.take(more)

    def _move_to_disk(self) -> None:
        folder = self._folder or None
        self._file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115  # closed by __exit__
        _write(self._file, memoryview(self._memory))
        self._forget_memory()

    def _forget_memory(self) -> None:
        self._room.give(len(self._memory))
        self._memory = bytearray()


class SpooledFile:
    """One file of a spool.

    Attributes:
        size: bytes that were written, whether they are kept or not.
    """

    def __init__(self, spool: Spool, start: int, max_bytes: int) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._spool = spool
        self._start = start
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        """Append `data`, as far as it is to be kept."""
        kept = memoryview(data)[: max(0, self._max_bytes - self.size)]
        self.size += len(data)
        self._digest.update(kept)
        self._spool.append(kept)

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of what is kept."""
        return self._digest.digest()

    def open(self) -> BinaryIO:
        """Return a new reader of what is kept, for one thread at a time."""
        length = min(self.size, self._max_bytes)
        return cast(BinaryIO, io.BufferedReader(_Slice(self._spool, self._start, length)))


def _write(file: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]  # as there is no buffer, maybe not all at once


@contextmanager
def _explained(folder: str) -> Iterator[None]:
    """Tell a full disk from a client's broken connection, which is an OSError too."""
    try:
        yield
    except OSError as error:
        log.warning("no room for an upload", folder=folder or tempfile.tempdir, reason=str(error))
        raise Problem(
            problems.UNAVAILABLE, "The server has no room for the upload now. Try again soon."
        ) from error


class _Slice(io.RawIOBase):
    """A part of a spool, with a position of its own."""

    def __init__(self, spool: Spool, start: int, length: int) -> None:
        self._spool = spool
        self._start = start
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = max(0, self._length - self._at)
        count = self._spool.read_into(memoryview(buffer)[:left], self._start + self._at)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at
