"""One try to send a callback: what is said, by which signature, and what its answer means."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from imagefleet_core.errors import BatchDeleted
from imagefleet_web import __version__
from imagefleet_web.callbacks import payload, signing, urls
from imagefleet_web.callbacks.note import Note
from imagefleet_web.callbacks.secrets import Secrets
from imagefleet_web.callbacks.sender import Answer, Sender, Undelivered
from imagefleet_web.callbacks.urls import BadUrl
from imagefleet_web.problems import Problem
from imagefleet_web.telling.results import Results

_HEADERS = {"Content-Type": "application/json", "User-Agent": f"Imagefleet/{__version__}"}
# Whose Retry-After counts.
_ASK_FOR_TIME = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try.

    Attributes:
        over: whether there is to be no other.
        heard: whether the receiver took it.
        said: what happened, for the log.
        retry_after_s: for how long the receiver wants to be left alone.
    """

    over: bool
    said: str
    heard: bool = False
    retry_after_s: float = 0.0


class Delivery:
    """Tells receivers of finished batches."""

    def __init__(
        self,
        results: Results,
        secrets: Secrets,
        sender: Sender,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._results = results
        self._secrets = secrets
        self._sender = sender
        self._clock = clock

    def attempt(self, batch: str, note: Note) -> Outcome:
        """Tell a receiver that a batch is finished; raises `Unavailable` for the store's faults."""
        secrets = self._secrets.of(note.owner)
        if not secrets:
            return Outcome(False, "there is no secret of its owner any more")
        try:
            target = urls.parse(note.url)
            body = payload.of(batch, self._results.in_pieces(batch))
            signed = signing.headers(batch, self._clock(), body, secrets)
            return _judge(self._sender.post(target, {**_HEADERS, **signed}, body))
        except Undelivered as error:
            return Outcome(False, str(error))
        except BadUrl as error:  # by the rules of an earlier version it was not
            return Outcome(True, f"the URL is refused: {error}")
        except (BatchDeleted, Problem):
            return Outcome(True, "there is no such batch any more")


def _judge(answer: Answer) -> Outcome:
    said = f"the answer was {answer.status}"
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(True, said, heard=True)
    if answer.status == HTTPStatus.GONE:
        return Outcome(True, said)
    wanted_s = answer.retry_after_s if answer.status in _ASK_FOR_TIME else 0.0
    return Outcome(False, said, retry_after_s=wanted_s)
