"""What the requests of one process share, put together from settings, store and queues."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flask import Flask, current_app
from uuid6 import uuid7

from imagefleet_core.queues import Queues
from imagefleet_core.store import Store
from imagefleet_web.background import Background
from imagefleet_web.backlog import Backlog
from imagefleet_web.claims import Claims
from imagefleet_web.history import History
from imagefleet_web.hub import Hub
from imagefleet_web.images import Images
from imagefleet_web.intake import Intake
from imagefleet_web.janitor import Janitor
from imagefleet_web.keys import Keys
from imagefleet_web.limits import Limits
from imagefleet_web.lookout import Lookout
from imagefleet_web.readiness import Readiness
from imagefleet_web.replies import Replies
from imagefleet_web.results import Results
from imagefleet_web.seats import Seats
from imagefleet_web.settings import WebSettings
from imagefleet_web.shares import Shares

_NAME = "imagefleet"


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one process; `background` stands still until it is started."""

    settings: WebSettings
    keys: Keys | None
    shares: Shares
    backlog: Backlog
    limits: Limits
    intake: Intake
    images: Images
    results: Results
    history: History
    hub: Hub
    seats: Seats
    readiness: Readiness
    replies: Replies
    background: Background
    pool: ThreadPoolExecutor

    def close(self) -> None:
        """Let those go who wait, end the background and take down what only this process uses."""
        self.hub.close()
        self.background.stop()
        self.replies.remove()
        self.pool.shutdown(wait=False)


def build(settings: WebSettings, store: Store, queues: Queues) -> Services:
    """Put the parts together; makes no call and starts no thread.

    Raises:
        KeysError: the file of API keys can't be used.
    """
    process = str(uuid7())
    limits = Limits(
        max_files=settings.max_files,
        max_file_bytes=settings.max_file_bytes,
        max_request_bytes=settings.max_request_bytes,
        max_pixels=settings.max_pixels,
    )
    pool = ThreadPoolExecutor(settings.aws_connections, thread_name_prefix="aws")
    requests = queues.open(settings.requests_queue)
    claims = Claims(store, pool, dead_after_s=settings.claim_s)
    hub = Hub()
    results = Results(hub, store, pool)
    prefix = settings.replies_prefix
    replies = Replies(queues, hub, results, prefix=prefix, name=prefix + process)
    janitor = Janitor(
        queues, store, hub, dead_letters=settings.dead_letter_queue, process=f"web-{process}"
    )
    turns = {
        "listening for replies": replies.listen,
        "keeping the replies queue": replies.keep,
        "looking for results": Lookout(hub, results).turn,
        "giving up dead letters": janitor.turn,
    }
    return Services(
        settings=settings,
        keys=Keys(Path(settings.api_keys_file)) if settings.api_keys_file else None,
        shares=Shares(
            images_a_minute=settings.max_images_per_minute, uploads=settings.max_uploads_at_once
        ),
        backlog=Backlog(requests, pool),
        limits=limits,
        intake=Intake(limits, store, requests, pool, claims, reply_to=prefix + process),
        images=Images(store, pool),
        results=results,
        history=History(store, pool),
        hub=hub,
        seats=Seats(settings.max_waiting),
        readiness=Readiness(store, requests),
        replies=replies,
        background=Background(turns),
        pool=pool,
    )


def attach(app: Flask, services: Services) -> None:
    """Give an app the services that its requests use."""
    app.extensions[_NAME] = services


def of(app: Flask) -> Services:
    """Return the services of an app."""
    return cast(Services, app.extensions[_NAME])


def current() -> Services:
    """Return the services of the app that answers the current request."""
    return of(current_app)
