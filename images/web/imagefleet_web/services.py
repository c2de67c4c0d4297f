"""What the requests of one process share, put together from settings, store and queues."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from flask import Flask, current_app
from uuid6 import uuid7

from imagefleet_core.queues import Queues
from imagefleet_core.store import Store
from imagefleet_web.background import Background
from imagefleet_web.callbacks import service as callbacks_service
from imagefleet_web.callbacks.service import Callbacks
from imagefleet_web.calls import Calls
from imagefleet_web.counting.counted_calls import counted_queues, counted_store
from imagefleet_web.counting.metrics import Metrics
from imagefleet_web.history import History
from imagefleet_web.images import Images
from imagefleet_web.keys import Keys
from imagefleet_web.readiness import Readiness
from imagefleet_web.reuse.known import NoReuse, Reuse
from imagefleet_web.rights.quotas import Quotas
from imagefleet_web.rights.shares import Shares
from imagefleet_web.scaling.announcing import Announcer
from imagefleet_web.scaling.backlog import Backlog
from imagefleet_web.scaling.fleet import Fleet
from imagefleet_web.scaling.portions import Portions
from imagefleet_web.serving import threads
from imagefleet_web.settings import WebSettings
from imagefleet_web.telling.attention import Attention
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.janitor import Janitor
from imagefleet_web.telling.lookout import Lookout
from imagefleet_web.telling.replies import Replies
from imagefleet_web.telling.results import Results
from imagefleet_web.telling.seats import Seats
from imagefleet_web.telling.siblings import Siblings
from imagefleet_web.telling.sums import Sums
from imagefleet_web.uploads.claims import Claims
from imagefleet_web.uploads.intake import Intake
from imagefleet_web.uploads.limits import Limits
from imagefleet_web.uploads.presigning import Presigning
from imagefleet_web.uploads.undoing import Undoing

_NAME = "imagefleet"


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one process; `background` stands still until it is started."""

    settings: WebSettings
    metrics: Metrics
    keys: Keys | None
    shares: Shares
    quotas: Quotas
    backlog: Backlog
    portions: Portions
    limits: Limits
    intake: Intake
    presigning: Presigning
    images: Images
    results: Results
    sums: Sums
    history: History
    hub: Hub
    fleet: Fleet
    seats: Seats
    askers: Seats
    readiness: Readiness
    attention: Attention
    replies: Replies
    siblings: Siblings
    undoing: Undoing
    callbacks: Callbacks | None
    background: Background
    pool: Calls

    def let_go(self) -> None:
        """Let those go who wait, now and from now on."""
        self.hub.close()
        self.fleet.close()

    def close(self) -> None:
        """Let those go who wait, end the background and take down what only this process uses."""
        self.let_go()
        self.background.stop()
        self.undoing.stop()
        if self.callbacks:
            self.callbacks.keeper.close()
        self.quotas.close()
        self.replies.remove()
        self.readiness.close()
        self.pool.shutdown(wait=False)


def build(settings: WebSettings, store: Store, queues: Queues) -> Services:
    """Put the parts together; makes no call and starts no thread.

    Raises:
        KeysError: the file of API keys can't be used.
        SecretsError, NetworksError: no callback could be sent.
    """
    process = str(uuid7())
    metrics = Metrics()
    metrics.seats.set(settings.max_waiting)
    store = counted_store(store, metrics.called_aws)
    queues = counted_queues(queues, metrics.called_aws)
    limits = Limits(
        max_files=settings.max_files,
        max_file_bytes=settings.max_file_bytes,
        max_request_bytes=settings.max_request_bytes,
        max_pixels=settings.max_pixels,
    )
    pool = Calls(settings.aws_connections, patience_s=2 * settings.aws_timeout_s)
    requests = queues.open(settings.requests_queue)
    claims = Claims(store, pool, dead_after_s=settings.claim_s)
    undoing = Undoing(store, pool, silent_s=settings.aws_timeout_s)
    hub = Hub()
    backlog = Backlog(requests, pool, told=metrics.backlog_known)
    fleet = Fleet(store, pool, waiting=backlog.images)
    attention, siblings = Attention(hub), Siblings()
    results = Results(hub, store, pool, heard=metrics.heard)
    callbacks = callbacks_service.build(settings, store, pool, hub, results, process)
    prefix = settings.replies_prefix
    replies = Replies(
        queues,
        hub,
        results,
        prefix=prefix,
        name=prefix + process,
        wait=attention.wait,
        siblings=siblings,
        heard=metrics.heard,
        dropped=metrics.reply_dropped,
    )
    janitor = Janitor(
        queues,
        store,
        hub,
        dead_letters=settings.dead_letter_queue,
        process=f"web-{process}",
        wait=attention.wait,
        heard=metrics.heard,
    )
    keys = Keys(Path(settings.api_keys_file)) if settings.api_keys_file else None
    quotas = Quotas(store, pool, partial(_images_a_day, settings, keys), process=process)
    reuse = NoReuse()
    if settings.reuse_results:
        reuse = Reuse(store, pool, hub, process=f"web-{process}", heard=metrics.heard)
    announcer = Announcer(queues.open(settings.telemetry_queue))
    turns = {
        "announcing new work": announcer.turn,
        "listening for replies": replies.turn,
        "keeping the replies queue": replies.keep,
        "looking for results": Lookout(hub, results, replied=attention.expects).turn,
        "giving up dead letters": janitor.turn,
        "undoing failed uploads": undoing.turn,
        "sharing known answers": reuse.turn,
        "watching the fleet": fleet.turn,
        "telling what is used": quotas.turn,
    }
    if settings.processes > 1:
        turns["hearing of other processes"] = replies.overhear
    if callbacks:
        turns["calling back"] = callbacks.keeper.turn
    return Services(
        settings=settings,
        metrics=metrics,
        keys=keys,
        shares=Shares(
            images_a_minute=settings.max_images_per_minute, uploads=settings.max_uploads_at_once
        ),
        quotas=quotas,
        backlog=backlog,
        portions=Portions(settings.max_backlog, settings.processes),
        limits=limits,
        intake=Intake(
            limits,
            store,
            requests,
            pool,
            claims,
            undoing,
            reuse,
            attention,
            announcer,
            reply_to=prefix + process,
        ),
        presigning=Presigning(
            store,
            pool,
            claims,
            undoing,
            max_bytes=settings.max_file_bytes,
            life_s=settings.form_life_s,
            public_url=settings.public_s3_url,
        ),
        images=Images(store, pool),
        results=results,
        sums=Sums(results, store, pool),
        history=History(store, pool),
        hub=hub,
        fleet=fleet,
        seats=Seats(settings.max_waiting, told=metrics.waiting.set),
        askers=Seats(threads.for_askers(settings)),
        readiness=Readiness(store, requests),
        attention=attention,
        replies=replies,
        siblings=siblings,
        undoing=undoing,
        callbacks=callbacks,
        background=Background(turns),
        pool=pool,
    )


def _images_a_day(settings: WebSettings, keys: Keys | None, client: str) -> int:
    told = keys.images_a_day(client) if keys else None
    return settings.max_images_per_day if told is None else told


def attach(app: Flask, services: Services) -> None:
    """Give an app the services that its requests use."""
    app.extensions[_NAME] = services


def of(app: Flask) -> Services:
    """Return the services of an app."""
    return cast(Services, app.extensions[_NAME])


def current() -> Services:
    """Return the services of the app that answers the current request."""
    return of(current_app)
