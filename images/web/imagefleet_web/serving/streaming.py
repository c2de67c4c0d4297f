"""Answers that are sent while they are made."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TypeVar

import structlog

from imagefleet_core.errors import ImagefleetError

log = structlog.get_logger()

T = TypeVar("T", str, bytes)


def whole_or_cut(pieces: Iterator[T]) -> Iterator[T]:
    """Pass an answer's pieces on; where one can't be had, break the connection off.

    The status is sent by then, so this is the only way left to tell a client that the answer is
    not whole: it misses the end that was announced.

    Raises:
        ConnectionError: to the server, which closes the connection on it.
    """
    try:
        yield from pieces
    except ImagefleetError as error:
        log.warning("answer cut off", reason=str(error))
        raise ConnectionAbortedError(errno.EPIPE, "the answer can't be finished") from error
