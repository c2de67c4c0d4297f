"""Connections to one server, kept open and used again.

Errors are botocore's, so that whoever calls AWS knows one kind only.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from imagefleet_core.bodies import Body
from imagefleet_core.dialing import Dialer
from imagefleet_core.http11 import Answer, Connection, ProtocolError

# S3 and what lies between forget a silent connection, some of them without saying so.
LONGEST_IDLE_S = 45.0


class Connections:
    """Connections to the server that `dialer` dials; safe to share between threads.

    Args:
        idle: how many are kept while nobody uses them.
    """

    def __init__(self, dialer: Dialer, idle: int) -> None:
        self._dialer = dialer
        self._most_idle = idle
        self._idle: deque[tuple[float, Connection]] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def send(self, method: str, path: str, headers: dict[str, str], body: Body) -> Reply:
        """Send a request, for a second time if its connection was closed while it was idle.

        Raises:
            botocore.exceptions.ConnectionError, HTTPClientError: no answer came.
        """
        target, headers = self._dialer.address(path, headers)
        connection = self._take()
        if connection is not None:
            try:
                return self._ask(connection, method, target, headers, body)
            except ConnectionClosedError:
                _close_all(self._idle)  # the others are most likely closed as well
        return self._ask(self._dialer.dial(), method, target, headers, body)

    def keep(self, connection: Connection) -> None:
        """Take a connection that is good for another request."""
        self._idle.append((time.monotonic(), connection))
        if len(self._idle) > self._most_idle:
            with suppress(IndexError):
                self._idle.popleft()[1].close()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what goes wrong on a connection into botocore's errors."""
        try:
            yield
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self._dialer.origin, error=error) from error
        except (OSError, ProtocolError) as error:
            raise ConnectionClosedError(endpoint_url=self._dialer.origin, error=error) from error

    def _take(self) -> Connection | None:
        """Return the open connection that was used last, if there is one."""
        oldest = time.monotonic() - LONGEST_IDLE_S
        with suppress(IndexError):
            while True:
                since, connection = self._idle.pop()
                if since > oldest and connection.is_silent():
                    return connection
                connection.close()
        return None

    def _ask(
        self,
        connection: Connection,
        method: str,
        target: str,
        headers: dict[str, str],
        body: Body,
    ) -> Reply:
        try:
            with self.explained():
                answer = connection.request(method, target, headers, body)
        except BaseException:
            connection.close()
            raise
        return Reply(self, connection, answer)


class Reply:
    """An answer and the connection it comes over, which is free again when this is left.

    Attributes:
        headers: by their names in lower case.
        length: the body's size in bytes, or None where only its end will tell.
    """

    def __init__(self, home: Connections, connection: Connection, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.length = answer.length
        self._home = home
        self._connection = connection
        self._answer = answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._answer.reusable:
            self._home.keep(self._connection)
        else:
            self._connection.close()

    def read(self, at_most: int) -> bytes:
        """Return the body, or its first `at_most` bytes; to be called once.

        Raises:
            botocore.exceptions.HTTPClientError: it did not come to its end, or not in time.
        """
        with self._home.explained():
            return self._answer.read(at_most)


def _close_all(idle: deque[tuple[float, Connection]]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop()[1].close()
