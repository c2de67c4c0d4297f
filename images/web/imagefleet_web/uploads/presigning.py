"""Forms with which clients upload images to the bucket themselves, past the web tier.

S3 announces each upload to the workers, and its key says which job it is; so the ids are known
before anything is sent. S3 holds a form to one key, one type and a size; whether a picture came is
for a worker to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import structlog

from imagefleet_core import keys
from imagefleet_core.errors import Unavailable
from imagefleet_core.jobs import JobId
from imagefleet_core.store import Form, Store
from imagefleet_web.rights import owners
from imagefleet_web.uploads.awaited import Awaited

log = structlog.get_logger()


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
    """A batch that is yet to be uploaded, and until when it can be."""

    batch: str
    uploads: tuple[Offered, ...]
    until: datetime


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
        *,
        max_bytes: int,
        life_s: int,
        public_url: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._pool = pool
        self._max_bytes = max_bytes
        self._life_s = life_s
        self._public_url = public_url
        self._clock = clock

    def offer(self, files: Sequence[Wanted], owner: str | None) -> Offer:
        """Return a form for each file, as a batch of its owner's; raises `Unavailable`."""
        batch = owners.new_batch(owner)
        structlog.contextvars.bind_contextvars(batch=batch)
        offer = self._pool.submit(self._offer, batch, files).result()
        log.info("forms given out", images=len(files))
        return offer

    def _offer(self, batch: str, files: Sequence[Wanted]) -> Offer:
        until = self._clock() + timedelta(seconds=self._life_s)
        uploads = tuple(
            self._form(JobId(batch, number), file) for number, file in enumerate(files, 1)
        )
        awaited = Awaited({each.job.number: each.name for each in uploads}, until)
        # Before anybody has a form, as nothing else would tell of an image that never comes.
        if self._store.write_note(keys.awaited_key(batch), awaited.encode()) is None:
            raise Unavailable(f"noting what is awaited of {batch}: another note is there")
        return Offer(batch, uploads, until)

    def _form(self, job: JobId, file: Wanted) -> Offered:
        form = self._store.upload_form(
            keys.inbox_key(job, file.name),
            file.content_type,
            max_bytes=self._max_bytes,
            life_s=self._life_s,
        )
        if self._public_url:
            form = replace(form, url=f"{self._public_url}{urlsplit(form.url).path}")
        return Offered(job, keys.form_name(file.name), form)
