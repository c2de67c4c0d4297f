"""Whether an upload may begin now, decided before a byte of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import request

from imagefleet_web import access, problems
from imagefleet_web.problems import Problem
from imagefleet_web.receiving import ReceivedFile, received_files
from imagefleet_web.services import Services

# A backlog takes the fleet a while, though not so long that clients should give up.
BACKLOG_RETRY_S = 30


@contextmanager
def admitted_files(services: Services) -> Iterator[list[ReceivedFile]]:
    """Give the files of the current request, whose client pays for them, as `received_files` does.

    Until the end it is one of the client's uploads that run at once.

    Raises:
        Problem: the client is over its share, or too much work waits already; or `received_files`
            raises it, and nothing is paid for.
    """
    client, images = access.client(), 0
    _check_backlog(services)
    if seconds := services.shares.begin(client):
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            f"That is more than one client may upload. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )
    try:
        with received_files(request, services.limits) as received:
            images = len(received)
            yield received
    finally:
        services.shares.end(client, images)


def _check_backlog(services: Services) -> None:
    waiting = services.backlog.images()
    if waiting is not None and waiting > services.settings.max_backlog:
        raise Problem(
            problems.OVERLOADED,
            f"{waiting:,} images wait already. Try again in {BACKLOG_RETRY_S} s.",
            headers={"Retry-After": str(BACKLOG_RETRY_S)},
        )
