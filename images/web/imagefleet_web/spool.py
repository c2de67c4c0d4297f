"""Keeps the files of one request on disk while they are judged and stored.

They lie one after the other in a single unnamed temporary file: one file descriptor and no
memory, however many and however large they are.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from imagefleet_core.errors import Unavailable


class Spool:
    """The temporary file of one request; closing it forgets all its files.

    Raises:
        Unavailable: there is no room, here or while a file is written.
    """

    def __init__(self) -> None:
        with _explained():
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def new(self, max_bytes: int) -> SpooledFile:
        """Begin the next file, of which no more than `max_bytes` are kept."""
        return SpooledFile(self._file.fileno(), os.fstat(self._file.fileno()).st_size, max_bytes)


class SpooledFile:
    """One file of a spool.

    Attributes:
        size: bytes that were written, whether they are kept or not.
    """

    def __init__(self, spool: int, start: int, max_bytes: int) -> None:
        self.size = 0
        self._spool = spool
        self._start = start
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        """Append `data`, as far as it is to be kept."""
        kept = memoryview(data)[: max(0, self._max_bytes - self.size)]
        at = self._start + self.size
        self.size += len(data)
        while kept:
            with _explained():
                written = os.pwrite(self._spool, kept, at)
            kept, at = kept[written:], at + written

    def open(self) -> BinaryIO:
        """Return a new reader of what is kept, for one thread at a time."""
        length = min(self.size, self._max_bytes)
        return cast(BinaryIO, io.BufferedReader(_Slice(self._spool, self._start, length)))


@contextmanager
def _explained() -> Iterator[None]:
    """Tell a full disk from a client's broken connection, which is an OSError too."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"spooling an upload in {tempfile.gettempdir()}: {error}") from error


class _Slice(io.RawIOBase):
    """A part of a file, with a position of its own."""

    def __init__(self, file: int, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = max(0, self._length - self._at)
        count = os.preadv(self._file, [memoryview(buffer)[:left]], self._start + self._at)
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
