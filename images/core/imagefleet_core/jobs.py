"""The job contract: what the tiers tell each other about one image.

Messages are versioned JSON objects. They stay small and carry an image's key, never the image. A
field that a reader does not know is ignored, so tiers may be upgraded one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from uuid6 import uuid7

from imagefleet_core import fields
from imagefleet_core.errors import DecodeError
from imagefleet_core.fields import Fields

_JOB_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d{4,9})", re.ASCII)


def new_batch_id() -> str:
    """Return a UUIDv7 (RFC 9562), so that ids sort by the time they were made."""
    return str(uuid7())


def ids_made_at(milliseconds: int) -> str:
    """Return what the batch ids made at a time since 1970 begin with: all later ones sort after it.

    A UUIDv7 begins with 48 bits of milliseconds (RFC 9562, section 5.7).
    """
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-"


def made_at_s(uuid: UUID) -> float:
    """Return when a UUIDv7 was made, in seconds since 1970.

    For the batch of an image that came to the inbox without a form that is when S3 had it.
    """
    return (uuid.int >> 80) / 1000


@dataclass(frozen=True, slots=True, order=True)
class JobId:
    """One image of one batch, written `<batch>-<number>`; numbers count from 1."""

    batch: str
    number: int

    def __str__(self) -> str:
        return f"{self.batch}-{self.number:04}"

    @classmethod
    def parse(cls, text: str) -> JobId:
        """Read a job id; raises `DecodeError` for any text that `str` would not have written."""
        match = _JOB_ID.fullmatch(text)
        job = cls(match[1], int(match[2])) if match else None
        if job is None or str(job) != text:
            raise DecodeError(f"not a job id: {text[:80]!r}", text)
        return job


@dataclass(frozen=True, slots=True)
class Request:
    """A message that asks for one stored image to be worked on.

    Attributes:
        key: the image's key in the input bucket.
        name: the file name the user gave.
        reply_to: the name (not the URL) of the queue that wants to hear of the result, or None.
        submitted_at: when the image was accepted.
    """

    job: JobId
    key: str
    name: str
    reply_to: str | None
    submitted_at: datetime

    def encode(self) -> str:
        """Write the message as JSON."""
        return fields.encode(
            {
                "job": str(self.job),
                "key": self.key,
                "name": self.name,
                "reply_to": self.reply_to,
                "submitted_at": fields.format_time(self.submitted_at),
            }
        )

    @classmethod
    def decode(cls, data: str) -> Request:
        """Read a message; raises `DecodeError`."""
        found = Fields.decode(data)
        return cls(
            job=JobId.parse(found.text("job")),
            key=found.text("key"),
            name=found.text("name"),
            reply_to=found.optional_text("reply_to"),
            submitted_at=found.time("submitted_at"),
        )


class Status(StrEnum):
    """How a job ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label and its probability, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image has no answer: a stable code for programs, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one image: exactly one of `top`, `output` and `error`.

    Attributes:
        top: a classifier's labels, best first.
        error: why there is no answer.
        model: name and version of what worked on it, `efficientnet-lite0@1`; empty if nothing did.
        worker: the worker (or other process) that wrote the result.
        output: the JSON object that an image function of the user's own answered with.
        reused_from: the job whose answer this is, where nothing worked on the image itself.
        key: the image's key, where it came to the inbox without a form; all others' keys begin with
            their job's id. See `keys.dropped_key` before it is used.
    """

    job: JobId
    name: str
    top: tuple[Prediction, ...]
    error: Failure | None
    model: str
    worker: str
    submitted_at: datetime
    started_at: datetime
    finished_at: datetime
    output: Mapping[str, Any] | None = field(default=None, hash=False)
    reused_from: JobId | None = None
    key: str | None = None

    @property
    def status(self) -> Status:
        """`done` with predictions or an output, `failed` with an error."""
        return Status.DONE if self.error is None else Status.FAILED

    @property
    def label(self) -> str | None:
        """The best prediction's label."""
        return self.top[0].label if self.top else None

    @property
    def score(self) -> float | None:
        """The best prediction's probability."""
        return self.top[0].score if self.top else None

    def encode(self) -> str:
        """Write the result as JSON: the results bucket's object and the reply's body."""
        return fields.encode(
            {
                "job": str(self.job),
                "batch": self.job.batch,
                "name": self.name,
                "status": self.status,
                "label": self.label,
                "score": self.score,
                "top": [{"label": each.label, "score": each.score} for each in self.top],
                "output": self.output,
                "error": self.error and {"code": self.error.code, "message": self.error.message},
                "model": self.model,
                "worker": self.worker,
                "submitted_at": fields.format_time(self.submitted_at),
                "started_at": fields.format_time(self.started_at),
                "finished_at": fields.format_time(self.finished_at),
                **({"reused_from": str(self.reused_from)} if self.reused_from else {}),
                **({"key": self.key} if self.key else {}),
            }
        )

    @classmethod
    def decode(cls, data: str | bytes) -> Result:
        """Read a result; raises `DecodeError`."""
        return cls.read(Fields.decode(data))

    @classmethod
    def read(cls, found: Fields) -> Result:
        """Read a result that is parsed already; raises `DecodeError`."""
        told = found.optional_object("error")
        error = Failure(told.text("code"), told.text("message")) if told else None
        top = tuple(
            Prediction(each.text("label"), each.number("score")) for each in found.objects("top")
        )
        output, reused_from = found.optional_mapping("output"), found.optional_text("reused_from")
        if (bool(top), output is not None, error is not None).count(True) != 1:
            raise DecodeError("a result has either predictions, an output or an error", found.data)
        return cls(
            job=JobId.parse(found.text("job")),
            name=found.text("name"),
            top=top,
            error=error,
            model=found.text("model"),
            worker=found.text("worker"),
            submitted_at=found.time("submitted_at"),
            started_at=found.time("started_at"),
            finished_at=found.time("finished_at"),
            output=output,
            reused_from=JobId.parse(reused_from) if reused_from else None,
            key=found.optional_text("key"),
        )
