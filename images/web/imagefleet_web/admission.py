"""Whether an upload may begin now, decided before a byte of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imagefleet_web import access, problems
from imagefleet_web.problems import Problem
from imagefleet_web.services import Services

# A backlog takes the fleet a while, though not so long that clients should give up.
BACKLOG_RETRY_S = 30


class Admitted:
    """An upload that may go on; `images` is how many its client pays for."""

    images = 0


@contextmanager
def admitted(services: Services) -> Iterator[Admitted]:
    """Let an upload of the current request's client go on, as one of those that run at once.

    Raises:
        Problem: its client is over its share, or too much work waits already.
    """
    client, upload = access.client(), Admitted()
    _check_backlog(services)
    if seconds := services.shares.begin(client):
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            f"That is more than one client may upload. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )
    try:
        yield upload
    finally:
        services.shares.end(client, upload.images)


def _check_backlog(services: Services) -> None:
    waiting = services.backlog.images()
    if waiting is not None and waiting > services.settings.max_backlog:
        raise Problem(
            problems.OVERLOADED,
            f"{waiting:,} images wait already. Try again in {BACKLOG_RETRY_S} s.",
            headers={"Retry-After": str(BACKLOG_RETRY_S)},
        )
