"""How long a client may take to send a request: else a few slow ones would hold every thread.

As Apache's mod_reqtimeout has it: headers as a whole have a time, and a body must keep a rate.
https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html
"""

from __future__ import annotations

import math
import socket
import time
from dataclasses import dataclass

from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader


def was_too_slow(error: BaseException) -> bool:
    """Whether a body could not be read as its client was too slow, and not as it is gone.

    Werkzeug makes one error of both, and only that one's context still tells.
    """
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


class HeadersTooSlow(ParseException):
    """The headers of a request were not there in time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What is asked of a client.

    Attributes:
        headers_s: seconds from the first byte of a request to the end of its headers.
        stall_s: seconds for which it may send nothing of a body; also before its rate counts.
        bytes_per_s: with how many a second, on average, the body must have come after that.
    """

    headers_s: float
    stall_s: float
    bytes_per_s: float


class PacedReader(SocketUnreader):
    """Reads a client's connection for gunicorn's parser.

    Attributes:
        max_body_chunk: of a body at once, as several times as much is in memory for a moment.
    """

    max_body_chunk = 256 * 1024

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        super().__init__(sock)
        self._pace = pace
        self.begin_headers()

    def begin_headers(self) -> None:
        """Give the next request its time; it starts with the first byte that is asked for."""
        self._began: float | None = None
        self._taken, self._of_body = 0, False

    def begin_body(self) -> None:
        """Give the request's body its time, from now on."""
        self._began = time.monotonic()
        self._taken, self._of_body = 0, True

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, within the socket's own time-out as well.

        Raises:
            HeadersTooSlow: the time of the headers is over.
            TimeoutError: that of the body is.
        """
        usual_s = self.sock.gettimeout()  # none for headers
        try:
            wait_s = min(self._left_s(), usual_s or math.inf)
            if wait_s != usual_s:  # setting it is a system call
                self.sock.settimeout(wait_s)
            data = super().chunk(size_hint)  # type: ignore[call-arg]  # the stubs are older
        except TimeoutError as error:
            if self._of_body:
                raise
            raise HeadersTooSlow from error
        finally:
            if usual_s is not None and self.sock.gettimeout() != usual_s:
                self.sock.settimeout(usual_s)
        self._taken += len(data)
        return data

    def _left_s(self) -> float:
        """Return for how long the next read may wait; raises TimeoutError if the time is over."""
        now, pace = time.monotonic(), self._pace
        if self._began is None:
            self._began = now
        if self._of_body:
            given_s = pace.stall_s + self._taken / pace.bytes_per_s
            left_s = min(pace.stall_s, self._began + given_s - now)
        else:
            left_s = self._began + pace.headers_s - now
        if left_s <= 0:
            raise TimeoutError("the client is too slow")
        return left_s
