"""Whether the client of a request is still there, for requests that do nothing but wait.

Who has closed the connection, or its own side of it, is taken for gone, as nginx does.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from flask import request

# How often it is asked: a thousand requests that wait take about a hundredth of a core for it.
LOOK_S = 5.0

Gone = Callable[[], bool]


def never() -> bool:
    """Return that nobody is gone."""
    return False


def client_gone() -> Gone:
    """Return what tells whether the current request's client is gone, at any later time."""
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    if connection is None:  # under a test's client
        return never
    poll = select.poll()
    # Not POLLIN, as the next request may have arrived already.
    poll.register(connection, select.POLLRDHUP)
    return lambda: bool(poll.poll(0))
