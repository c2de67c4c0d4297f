"""Forms with which clients upload images to the bucket themselves, past the web tier.

S3 announces each upload to the workers, and its key says which job it is; so the ids are known
before anything is sent. S3 holds a form to one key, one type and a size; whether a picture came is
for a worker to find out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import structlog

from imagefleet_core import keys
from imagefleet_core.errors import BatchDeleted, Unavailable
from imagefleet_core.jobs import JobId
from imagefleet_core.store import Form, Store
from imagefleet_web.callbacks.order import NoCallback
from imagefleet_web.rights import owners
from imagefleet_web.uploads.awaited import Awaited
from imagefleet_web.uploads.claims import Claims, Stage, Unclaimed
from imagefleet_web.uploads.undoing import Undoing

log = structlog.get_logger()

NO_CALLBACK = NoCallback()
# Lives of a form, after which most of what it uploads is answered.
ANSWERED_WITHIN = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that a client is about to upload.

    Attributes:
        content_type: the one that it will be sent with.
    """

    name: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Offered:
    """A form, the job that it is for, and the name that the job will have."""

    job: JobId
    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class Offer:
    """A batch that is yet to be uploaded, and until when it can be.

    Attributes:
        replayed: whether it was offered before, with an earlier request.
    """

    batch: str
    uploads: tuple[Offered, ...]
    until: datetime
    replayed: bool = False


class Presigning:
    """Gives forms out; signs and calls the store in a bounded pool.

    Args:
        max_bytes: how large a file may be.
        life_s: for how many seconds a form is good.
        public_url: the origin at which clients reach S3, where it is not the one used here. A
            form's signature does not cover it.
    """

    def __init__(
        self,
        store: Store,
        pool: Executor,
        claims: Claims,
        undoing: Undoing,
        *,
        max_bytes: int,
        life_s: int,
        public_url: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._pool = pool
        self._claims = claims
        self._undoing = undoing
        self._max_bytes = max_bytes
        self._life_s = life_s
        self._public_url = public_url
        self._clock = clock

    def offer(
        self,
        files: Sequence[Wanted],
        owner: str | None,
        key: str | None = None,
        callback: NoCallback = NO_CALLBACK,
    ) -> Offer:
        """Return a form for each file, as a batch of its owner's.

        Args:
            key: an idempotency key; a batch that was offered with it before is offered again, with
                forms that expire when the first ones do.
            callback: who is to be told once the batch is finished.

        Raises:
            Problem: the key can't be used, or not yet.
            Unavailable: the store fails, and nothing is left of the batch; but where it is noted,
                and only that answer was lost, it is offered again for the same key.
            BatchDeleted: so was the batch that was offered before.
        """
        if key is None:
            return self._offer_new(owners.new_batch(owner), files, Unclaimed(), callback)
        asked = _fingerprint(files, callback.url)
        claim = self._claims.take(owner, key, owners.new_batch(owner), asked)
        if claim.stage is Stage.ACCEPTED:
            return self._pool.submit(self._offer_again, claim.batch, files).result()
        return self._offer_new(claim.batch, files, claim, callback)

    def _offer_new(
        self, batch: str, files: Sequence[Wanted], claim: Unclaimed, callback: NoCallback
    ) -> Offer:
        structlog.contextvars.bind_contextvars(batch=batch)
        try:
            claim.clear()
            offer = self._pool.submit(self._offer, batch, files).result()
            # After that, or it may be looked for before there is anything, and given up.
            unheard_for_s = ANSWERED_WITHIN * self._life_s
            callback.keep(batch, range(1, len(files) + 1), unheard_for_s=unheard_for_s)
            claim.settled()  # as the last thing that can fail: who asks again gets this batch
        except Exception:
            self._undoing.undo(batch, claim)
            raise
        log.info("forms given out", images=len(files))
        return offer

    def _offer(self, batch: str, files: Sequence[Wanted]) -> Offer:
        until = self._clock() + timedelta(seconds=self._life_s)
        uploads = self._forms(batch, files, self._life_s)
        awaited = Awaited({each.job.number: each.name for each in uploads}, until)
        # Before anybody has a form, as nothing else would tell of an image that never comes.
        if self._store.write_note(keys.awaited_key(batch), awaited.encode()) is None:
            raise Unavailable(f"noting what is awaited of {batch}: another note is there")
        return Offer(batch, uploads, until)

    def _offer_again(self, batch: str, files: Sequence[Wanted]) -> Offer:
        note = self._store.read_note(keys.awaited_key(batch))
        if note is None:  # which outlives the claim, but for a deletion
            raise BatchDeleted(f"the batch {batch} was deleted")
        until = Awaited.decode(note.body).until
        left_s = int((until - self._clock()).total_seconds())
        return Offer(batch, self._forms(batch, files, max(0, left_s)), until, replayed=True)

    def _forms(self, batch: str, files: Sequence[Wanted], life_s: int) -> tuple[Offered, ...]:
        return tuple(
            self._form(JobId(batch, number), file, life_s) for number, file in enumerate(files, 1)
        )

    def _form(self, job: JobId, file: Wanted, life_s: int) -> Offered:
        form = self._store.upload_form(
            keys.inbox_key(job, file.name),
            file.content_type,
            max_bytes=self._max_bytes,
            life_s=life_s,
        )
        if self._public_url:
            form = replace(form, url=f"{self._public_url}{urlsplit(form.url).path}")
        return Offered(job, keys.form_name(file.name), form)


def _fingerprint(files: Sequence[Wanted], callback_url: str) -> str:
    """Return a hash of what is asked for, which is that of no upload."""
    asked = ["forms", callback_url, [[file.name, file.content_type] for file in files]]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
