"""Which job had the answer to an image, by the image's bytes and owner; for a while, in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from threading import Lock

from imagefleet_core.jobs import JobId

# About 400 bytes each.
MOST = 100_000

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def identity(owner: str | None, content: bytes) -> bytes:
    """Return what stands for an image of an owner's, so that nobody is answered from another's.

    Args:
        content: the SHA-256 of the image's bytes.
    """
    named = b"" if owner is None else owner.encode() + b"\0"
    return sha256(named + content).digest()


@dataclass(frozen=True, slots=True)
class Answered:
    """The job that had an image's answer, and the model that gave it."""

    job: JobId
    model: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model, and when it gave the latest answer that is known."""

    name: str
    at: datetime


class Index:
    """Remembers images; those that were asked for longest ago are forgotten first.

    Attributes:
        most: how many are remembered.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._lock = Lock()
        self._answered: OrderedDict[bytes, Answered] = OrderedDict()
        self._newest = Model("", _LONG_AGO)

    def newest(self) -> Model:
        """Return the model of the latest answer that is known."""
        return self._newest

    def heard(self, model: Model) -> None:
        """Take note of an answer that a model gave."""
        with self._lock:
            if model.at > self._newest.at:
                self._newest = model

    def get(self, image: bytes) -> Answered | None:
        """Return the job that had the answer to an image, if no newer model would have another."""
        with self._lock:
            found = self._answered.get(image)
            if found is None or found.model != self._newest.name:
                return None
            self._answered.move_to_end(image)
            return found

    def put(self, image: bytes, answered: Answered) -> None:
        """Remember an image; of several jobs that had its answer, the latest one."""
        with self._lock:
            known = self._answered.get(image)
            if known is None or known.job < answered.job:
                self._answered[image] = answered
                self._answered.move_to_end(image)
            if len(self._answered) > self.most:
                self._answered.popitem(last=False)

    def forget(self, image: bytes, answered: Answered) -> None:
        """Forget an image whose answer is gone, unless it has another one by now."""
        with self._lock:
            if self._answered.get(image) == answered:
                del self._answered[image]
