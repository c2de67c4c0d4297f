"""Takes uploads in: stores the images that pass the limits, then queues all of them.

An image is accepted once it is stored and its request is queued. Either all images of an upload
that pass are accepted, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from imagefleet_core.errors import QueueMissing, Unavailable
from imagefleet_core.jobs import Request, Result
from imagefleet_core.queues import Queue
from imagefleet_core.store import Store
from imagefleet_web import problems
from imagefleet_web.callbacks.order import NoCallback
from imagefleet_web.calls import Calls
from imagefleet_web.ids import made_at
from imagefleet_web.problems import Problem
from imagefleet_web.reuse.known import NoReuse
from imagefleet_web.rights import owners
from imagefleet_web.scaling.announcing import Announcer
from imagefleet_web.telling.attention import Attention
from imagefleet_web.uploads.claims import Claim, Claims, Stage, Unclaimed
from imagefleet_web.uploads.idempotency import fingerprint
from imagefleet_web.uploads.judging import Taken, Upload, judge
from imagefleet_web.uploads.limits import Limits
from imagefleet_web.uploads.receiving import ReceivedFile
from imagefleet_web.uploads.undoing import Undoing

log = structlog.get_logger()

NO_CALLBACK = NoCallback()


@dataclass(frozen=True, slots=True)
class Terms:
    """How an upload is to be taken in.

    Attributes:
        callback: who is to be told once the batch is finished.
        fresh: whether its images are worked on, whatever is known of them.
    """

    owner: str | None
    callback: NoCallback
    fresh: bool


class Intake:
    """Accepts uploads; every call to AWS goes through one bounded pool."""

    def __init__(
        self,
        limits: Limits,
        store: Store,
        requests: Queue,
        pool: Calls,
        claims: Claims,
        undoing: Undoing,
        reuse: NoReuse,
        attention: Attention,
        announcer: Announcer,
        *,
        reply_to: str,
    ) -> None:
        self._limits = limits
        self._store = store
        self._requests = requests
        self._pool = pool
        self._claims = claims
        self._undoing = undoing
        self._reuse = reuse
        self._attention = attention
        self._announcer = announcer
        self._reply_to = reply_to

    def accept(
        self,
        files: Sequence[ReceivedFile],
        owner: str | None,
        key: str | None = None,
        callback: NoCallback = NO_CALLBACK,
        *,
        fresh: bool = False,
    ) -> Upload:
        """Store and queue all files that pass the limits, as a batch of its owner.

        Args:
            key: an idempotency key; an upload that was accepted with it before is not again.
            callback: who is to be told once the batch is finished.
            fresh: whether images are worked on though their answers may be known.

        Raises:
            Problem: all files were refused, or a service fails; then nothing is accepted. Or the
                key can't be used, or not yet.
            Unavailable, QueueMissing: a service fails, and part of an upload is left that another
                process began. With the same key it is gone on with.
            BatchDeleted: so was the batch of such an upload.
        """
        upload = judge(owners.new_batch(owner), files, self._limits)
        terms = Terms(owner, callback, fresh)
        if key is None:
            return self._accept(upload, Unclaimed(), terms)
        asked = fingerprint(files, upload, callback.url)
        claim = self._claims.take(owner, key, upload.batch, asked)
        if claim.batch != upload.batch:
            upload = judge(claim.batch, files, self._limits)
        match claim.stage:
            case Stage.ACCEPTED:
                return replace(upload, replayed=True)
            case Stage.QUEUEING:
                return self._go_on(upload, claim, terms)
        return self._accept(upload, claim, terms)

    def _accept(self, upload: Upload, claim: Unclaimed, terms: Terms) -> Upload:
        structlog.contextvars.bind_contextvars(batch=upload.batch)
        try:
            answered = self._keep(upload, claim, terms)
        except (Unavailable, QueueMissing) as error:
            log.warning("upload given up", images=len(upload.taken), reason=str(error))
            raise Problem(
                problems.UNAVAILABLE,
                "The storage does not answer, so none of the images was accepted. Try again soon.",
            ) from error
        log.info(
            "upload accepted",
            images=len(upload.taken),
            refused=len(upload.refused),
            answered=len(answered),
        )
        return replace(upload, answered=tuple(answered))

    def _go_on(self, upload: Upload, claim: Claim, terms: Terms) -> Upload:
        """Queue what another process stored and did not live to queue, or to tell of."""
        structlog.contextvars.bind_contextvars(batch=upload.batch)
        finished = self._pool.submit(self._store.result_numbers, upload.batch).result()
        left = [one for one in upload.taken if one.job.number not in finished]
        answered = self._answer_or_queue(left, terms)
        claim.queued()
        log.info("upload gone on with", images=len(upload.taken), finished=len(finished))
        return replace(upload, answered=tuple(answered))

    def _keep(self, upload: Upload, claim: Unclaimed, terms: Terms) -> list[Result]:
        try:
            claim.clear()
            self._put_all(upload.taken)
            # Of a batch that is past the next step, it is noted.
            terms.callback.keep(upload.batch, [one.job.number for one in upload.taken])
            claim.stored()
            answered = self._answer_or_queue(upload.taken, terms)
        except Exception:
            self._undoing.undo(upload.batch, claim)
            raise
        claim.queued()
        return answered

    def _answer_or_queue(self, taken: list[Taken], terms: Terms) -> list[Result]:
        """Queue images, but for those whose answers are known; return these."""
        known = {} if terms.fresh else self._reuse.find(terms.owner, taken)
        self._queue([one for one in taken if one.job not in known], terms)
        # Last, so that nothing of an upload that fails is answered.
        answered = self._reuse.keep(known.values())
        unkept = known.keys() - {result.job for result in answered}
        self._queue([one for one in taken if one.job in unkept], terms)
        return answered

    def _queue(self, taken: list[Taken], terms: Terms) -> None:
        if taken:
            self._reuse.expect(terms.owner, taken)
            self._attention.expect(taken[0].job.batch)
            self._pool.here(self._requests.send, self._messages(taken))
            self._announcer.queued(len(taken))

    def _put_all(self, taken: list[Taken]) -> None:
        if len(taken) == 1:
            self._pool.here(self._put, taken[0])
            return
        puts = [self._pool.submit(self._put, one) for one in taken]
        wait(puts, return_when=FIRST_EXCEPTION)
        begun = [put for put in puts if not put.cancel()]
        wait(begun)
        for put in begun:
            put.result()

    def _put(self, one: Taken) -> None:
        with one.body.open() as body:
            self._store.put_image(one.key, body, one.content_type)

    def _messages(self, taken: list[Taken]) -> list[str]:
        return [
            Request(
                one.job,
                one.key,
                one.name,
                self._reply_to,
                made_at(one.job.batch) or datetime.now(UTC),
            ).encode()
            for one in taken
        ]
