"""Whether an upload may begin now, decided before a byte of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from flask import Response, after_this_request, request

from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.rights import access, ratelimit
from imagefleet_web.services import Services
from imagefleet_web.uploads.judging import Upload
from imagefleet_web.uploads.presigning import Offer
from imagefleet_web.uploads.receiving import ReceivedFile, received_files

# A backlog takes the fleet a while, though not so long that clients should give up.
BACKLOG_RETRY_S = 30


@contextmanager
def admitted_files(services: Services) -> Iterator[list[ReceivedFile]]:
    """Give the files of the current request, whose client pays for them, as `received_files` does.

    Until the end it is one of the client's uploads that run at once.

    Raises:
        Problem: the client is over its share or its quota, or too much work waits already; or
            `received_files` raises it, and nothing is paid for.
    """
    client, images = access.client(), 0
    _begin(services, client)
    try:
        with (
            services.metrics.uploading(),
            received_files(request, services.limits, services.settings.spool_dir) as received,
        ):
            images = len(received)
            services.metrics.received(received)
            yield received
    finally:
        services.shares.end(client, images)


@contextmanager
def admitted_forms(services: Services, images: int) -> Iterator[None]:
    """Let the client of the current request have forms, for which it pays as if they were images.

    Raises:
        Problem: the client is over its share or its quota, or too much work waits already.
    """
    client = access.client()
    _begin(services, client)
    try:
        yield
    finally:
        services.shares.end(client, images)


def accepted(services: Services, upload: Upload) -> None:
    """Count what was accepted of the current request; what was accepted before costs nothing."""
    services.metrics.accepted(upload)
    if not upload.replayed:
        services.quotas.charge(access.client(), len(upload.taken))
        services.portions.add(access.client(), len(upload.taken) - len(upload.answered))


def offered(services: Services, offer: Offer) -> None:
    """Count forms that were given out as images; what was offered before costs nothing."""
    services.metrics.expect(offer.batch)
    if not offer.replayed:
        services.quotas.charge(access.client(), len(offer.uploads))
        services.portions.add(access.client(), len(offer.uploads))


def _begin(services: Services, client: str) -> None:
    after_this_request(partial(_tell_limits, services, client))
    _check_backlog(services, client)
    _check_quota(services, client)
    if seconds := services.shares.begin(client):
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            f"That is more than one client may upload. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def _check_quota(services: Services, client: str) -> None:
    day = services.quotas.day(client)
    if day and not day.left:
        raise Problem(
            problems.QUOTA_EXCEEDED,
            f"The {day.limit:,} images that you may upload in a day are used up. The next day "
            f"begins in {day.ends_in_s} s, at midnight UTC.",
            headers={"Retry-After": str(day.ends_in_s)},
        )


def _tell_limits(services: Services, client: str, response: Response) -> Response:
    day = services.quotas.day(client)
    limits = (services.shares.limit(client), day and day.as_limit())
    response.headers.extend(ratelimit.headers(each for each in limits if each))
    return response


def _check_backlog(services: Services, client: str) -> None:
    waiting = services.backlog.images()
    if waiting is None:
        return
    if waiting > services.settings.max_backlog:
        raise Problem(
            problems.OVERLOADED,
            f"{waiting:,} images wait already. Try again in {BACKLOG_RETRY_S} s.",
            headers={"Retry-After": str(BACKLOG_RETRY_S)},
        )
    if theirs := services.portions.too_large(client, waiting):
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            f"{waiting:,} images wait already, some {theirs:,} of them yours, and the room that is "
            f"left is for others. Try again in {BACKLOG_RETRY_S} s.",
            headers={"Retry-After": str(BACKLOG_RETRY_S)},
        )
