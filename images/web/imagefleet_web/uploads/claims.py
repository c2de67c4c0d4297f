"""Claims on idempotency keys: who takes in the upload of a key, and as which batch.

A claim is a note in the store. It is changed only by who knows the version that is there, so of
any number of processes one holds it. Whoever dies with it is succeeded after a while; who was
only slow finds out before anything is queued, or deleted that is another's by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, TypeVar
from uuid import uuid4

import structlog

from imagefleet_core import fields, keys
from imagefleet_core.errors import DecodeError, Unavailable
from imagefleet_core.store import Note, Store
from imagefleet_web import problems
from imagefleet_web.calls import Calls
from imagefleet_web.problems import Problem

log = structlog.get_logger()

T = TypeVar("T")

# How long a key counts; the results bucket forgets it a day later at the latest.
KEPT_S = 24 * 3600.0
# An upload that is under way is most likely accepted within this.
RETRY_AFTER_S = 2


class Stage(StrEnum):
    """How far an upload is."""

    STORING = "storing"  # nothing is queued
    QUEUEING = "queueing"  # all images are stored; some, or all, may be queued
    ACCEPTED = "accepted"
    GIVEN_UP = "given_up"  # its batch is of no use any more


@dataclass(frozen=True, slots=True)
class Record:
    """What the note says.

    Attributes:
        holder: differs for each that ever held the claim.
        fingerprint: of what is uploaded, the same for the same.
        leftovers: batches that were begun and are to be cleared away.
    """

    holder: str
    batch: str
    stage: Stage
    fingerprint: str
    leftovers: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Write it as JSON."""
        told = {
            "holder": self.holder,
            "batch": self.batch,
            "stage": self.stage,
            "fingerprint": self.fingerprint,
            "leftovers": " ".join(self.leftovers),
        }
        return fields.encode(told).encode()

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Read it; raises `DecodeError`."""
        read = fields.Fields.decode(data)
        try:
            stage = Stage(read.text("stage"))
        except ValueError as error:
            raise DecodeError("field 'stage' is none that is known", data) from error
        return cls(
            read.text("holder"),
            read.text("batch"),
            stage,
            read.text("fingerprint"),
            tuple(read.text("leftovers").split()),
        )


class Ousted(Problem):
    """Another process took the claim over, as this one was too slow."""

    def __init__(self) -> None:
        super().__init__(
            problems.UPLOAD_IN_PROGRESS,
            "An upload with this Idempotency-Key is under way. Try again soon.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )


class Unclaimed:
    """The claim of an upload without a key, which is nobody else's business."""

    stage = Stage.STORING

    def clear(self) -> None:
        """Clear nothing away."""

    def stored(self) -> None:
        """Tell nobody that all images are stored."""

    def queued(self) -> None:
        """Tell nobody that all images are queued."""

    def settled(self) -> None:
        """Tell nobody that all is done."""

    def give_up(self) -> bool:
        """Return that what was stored may be deleted."""
        return True


class Claim(Unclaimed):
    """A claim that this process holds, unless another took it over meanwhile.

    Attributes:
        batch: the batch to make, or the one that there is.
        stage: what is there already.
    """

    def __init__(self, claims: Claims, key: str, record: Record, version: str) -> None:
        self._claims = claims
        self._key = key
        self._record = record
        self._version = version
        self.batch, self.stage = record.batch, record.stage

    def clear(self) -> None:
        """Clear away what those left behind that held the claim before; raises `Unavailable`."""
        for batch in self._record.leftovers:
            self._claims.clear(batch)

    def stored(self) -> None:
        """Tell that all images are stored, so that they can be queued.

        Raises:
            Ousted: another process holds the claim; it makes a batch of its own.
            Unavailable: it may or may not have been told.
        """
        self._move(Stage.QUEUEING)

    def queued(self) -> None:
        """Tell that all images are queued; a failure does no harm, as they are."""
        try:
            self._move(Stage.ACCEPTED)
        except (Ousted, Unavailable) as error:
            log.warning("accepted upload not noted", batch=self.batch, reason=str(error))

    def settled(self) -> None:
        """Tell that all is done, where nothing is to be queued; raises as `stored` does."""
        self._move(Stage.ACCEPTED)

    def give_up(self) -> bool:
        """Let the next one begin anew at once; return whether the batch's images may be deleted.

        They may not where another process goes on with the batch. May be asked again and again,
        and calls the store in the caller's own thread.

        Raises:
            Unavailable: the store does not answer, so another process could.
        """
        note = self._claims.read(self._key)
        record = Record.decode(note.body) if note else None
        if note is None or record is None or record.batch != self.batch:
            return True
        if record.holder != self._record.holder or record.stage is Stage.ACCEPTED:
            return False  # who asked again meanwhile may have that answer
        given_up = replace(record, stage=Stage.GIVEN_UP)
        return self._claims.write(self._key, given_up, note.version) is not None

    def _move(self, stage: Stage) -> None:
        self._record = replace(self._record, stage=stage, leftovers=())
        version = self._claims.call(self._claims.write, self._key, self._record, self._version)
        if version is None:
            raise Ousted
        self._version = version


class Claims:
    """Gives out claims, through one bounded pool of calls to the store.

    Args:
        dead_after_s: who got nowhere with a claim for so long is taken for dead.
    """

    def __init__(self, store: Store, pool: Calls, *, dead_after_s: float) -> None:
        self._store = store
        self._pool = pool
        self._dead_after_s = dead_after_s

    def take(self, owner: str | None, key: str, batch: str, fingerprint: str) -> Claim:
        """Return the claim on an owner's key: a new one, or that of an upload before.

        Args:
            batch: the batch to make, unless there is one already.
            fingerprint: of what is uploaded.

        Raises:
            Problem: the key belongs to another upload, or to one that is under way.
            Unavailable: the store does not answer.
            DecodeError: what is noted on the key can't be understood.
        """
        where = keys.note_key(sha256(json.dumps([owner, key]).encode()).hexdigest())
        fresh = Record(uuid4().hex, batch, Stage.STORING, fingerprint)
        note: Note | None = None
        while True:
            record = self._next(fresh, note) if note else fresh
            if note and record.stage is Stage.ACCEPTED:
                return Claim(self, where, record, note.version)
            version = self.call(self.write, where, record, note.version if note else "")
            if version is not None:
                return Claim(self, where, record, version)
            note = self.call(
                self.read, where
            )  # another one was faster, which does not go on for long

    def read(self, key: str) -> Note | None:
        """Return a claim's note."""
        return self._store.read_note(key)

    def write(self, key: str, record: Record, replacing: str = "") -> str | None:
        """Write a claim's note and return its version, or None where it is another's by now."""
        return self._store.write_note(key, record.encode(), replacing)

    def clear(self, batch: str) -> None:
        """Clear away a batch that was never queued."""
        if self.call(self._store.delete_batch, batch):
            log.info("left-over images removed", left_over=batch)

    def _next(self, fresh: Record, note: Note) -> Record:
        """Return what follows the claim that is there: itself, if its upload was accepted."""
        found = Record.decode(note.body)
        expired = note.age_s >= KEPT_S
        if not expired and found.fingerprint != fresh.fingerprint:
            raise Problem(
                problems.IDEMPOTENCY_KEY_REUSED,
                "This Idempotency-Key came with other files, or another callback_url, before. "
                "Send these with a key of their own.",
            )
        match found.stage:
            case Stage.ACCEPTED | Stage.QUEUEING if expired:
                return fresh
            case Stage.ACCEPTED:
                return found
            case Stage.QUEUEING | Stage.STORING if note.age_s < self._dead_after_s:
                raise Ousted
            case Stage.QUEUEING:
                return replace(found, holder=fresh.holder)
        return replace(fresh, leftovers=(*found.leftovers, found.batch))

    def call(self, call: Callable[..., T], *args: Any) -> T:
        """Return what a call to the store returns that waits for its turn."""
        return self._pool.here(call, *args)
