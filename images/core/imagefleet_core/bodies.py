"""A file as the body of a request, never held in memory and sent again if need be."""

from __future__ import annotations

import io
from collections.abc import Iterator
from hashlib import sha256
from typing import IO

BLOCK_BYTES = 128 * 1024


class FileBody:
    """What a file holds from where it stands to its end; it must be able to seek."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start = file.tell()
        self._length = file.seek(0, io.SEEK_END) - self._start

    def __len__(self) -> int:
        return self._length

    def blocks(self) -> Iterator[bytes]:
        """Return the content from its beginning, block by block."""
        self._file.seek(self._start)
        left = self._length
        while left and (block := self._file.read(min(left, BLOCK_BYTES))):
            left -= len(block)
            yield block

    def sha256(self) -> str:
        """Return the content's SHA-256 in hexadecimal."""
        digest = sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


Body = bytes | FileBody
