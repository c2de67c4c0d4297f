"""Takes uploads in: stores the images that pass the limits, then queues all of them.

An image is accepted once it is stored and its request is queued. Either all images of an upload
that pass are accepted, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, wait
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from imagefleet_core.errors import QueueMissing, Unavailable
from imagefleet_core.jobs import Request
from imagefleet_core.queues import Queue
from imagefleet_core.store import Store
from imagefleet_web import owners, problems
from imagefleet_web.claims import Claim, Claims, Stage, Unclaimed
from imagefleet_web.idempotency import fingerprint
from imagefleet_web.ids import made_at
from imagefleet_web.judging import Taken, Upload, judge
from imagefleet_web.limits import Limits
from imagefleet_web.problems import Problem
from imagefleet_web.receiving import ReceivedFile

log = structlog.get_logger()

# A client that is told of a failure need not wait long until its images are gone.
_FORGET_S = 2.0


class Intake:
    """Accepts uploads; every call to AWS goes through one bounded pool."""

    def __init__(
        self,
        limits: Limits,
        store: Store,
        requests: Queue,
        pool: Executor,
        claims: Claims,
        *,
        reply_to: str,
    ) -> None:
        self._limits = limits
        self._store = store
        self._requests = requests
        self._pool = pool
        self._claims = claims
        self._reply_to = reply_to

    def accept(
        self, files: Sequence[ReceivedFile], owner: str | None, key: str | None = None
    ) -> Upload:
        """Store and queue all files that pass the limits, as a batch of its owner.

        Args:
            key: an idempotency key; an upload that was accepted with it before is not again.

        Raises:
            Problem: all files were refused, or a service fails; then nothing is accepted. Or the
                key can't be used, or not yet.
            Unavailable, QueueMissing: a service fails, and part of an upload is left that another
                process began. With the same key it is gone on with.
            BatchDeleted: so was the batch of such an upload.
        """
        upload = judge(owners.new_batch(owner), files, self._limits)
        if key is None:
            self._accept(upload, Unclaimed())
            return upload
        claim = self._claims.take(owner, key, upload.batch, fingerprint(files, upload))
        if claim.batch != upload.batch:
            upload = judge(claim.batch, files, self._limits)
        match claim.stage:
            case Stage.ACCEPTED:
                return replace(upload, replayed=True)
            case Stage.QUEUEING:
                self._go_on(upload, claim)
            case _:
                self._accept(upload, claim)
        return upload

    def _accept(self, upload: Upload, claim: Unclaimed) -> None:
        structlog.contextvars.bind_contextvars(batch=upload.batch)
        try:
            self._keep(upload.taken, claim)
        except (Unavailable, QueueMissing) as error:
            log.warning("upload given up", images=len(upload.taken), reason=str(error))
            raise Problem(
                problems.UNAVAILABLE,
                "The storage does not answer, so none of the images was accepted. Try again soon.",
            ) from error
        log.info("upload accepted", images=len(upload.taken), refused=len(upload.refused))

    def _go_on(self, upload: Upload, claim: Claim) -> None:
        """Queue what another process stored and did not live to queue, or to tell of."""
        structlog.contextvars.bind_contextvars(batch=upload.batch)
        finished = self._pool.submit(self._store.result_numbers, upload.batch).result()
        self._queue([one for one in upload.taken if one.job.number not in finished])
        claim.queued()
        log.info("upload gone on with", images=len(upload.taken), finished=len(finished))

    def _keep(self, taken: list[Taken], claim: Unclaimed) -> None:
        try:
            claim.clear()
            self._put_all(taken)
            claim.stored()
            self._queue(taken)
        except Exception:
            if claim.give_up():
                self._forget(taken)
            raise
        claim.queued()

    def _queue(self, taken: list[Taken]) -> None:
        self._pool.submit(self._requests.send, self._messages(taken)).result()

    def _put_all(self, taken: list[Taken]) -> None:
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

    def _forget(self, taken: list[Taken]) -> None:
        wait([self._pool.submit(self._delete, one) for one in taken], timeout=_FORGET_S)

    def _delete(self, one: Taken) -> None:
        try:
            self._store.delete_image(one.key)
        except Unavailable as error:
            log.warning("image left behind", job=str(one.job), key=one.key, reason=str(error))
