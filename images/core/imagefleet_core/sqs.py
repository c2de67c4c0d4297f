"""The queues on SQS, batching by ten.

A batch call that succeeds may have failed for some of its entries, each with a code of its own:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_BatchResultErrorEntry.html
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imagefleet_core.actions import Actions
from imagefleet_core.aws import error_code, explained
from imagefleet_core.errors import QueueMissing, Unavailable
from imagefleet_core.queues import BATCH, MAX_WAIT_S, Counts, Message
from imagefleet_core.sharing import Shared

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_MISSING = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}
# What SQS says of a receipt that is no good any more: of another queue or none at all, too old
# ("The receipt handle has expired"), or of a message that is visible again or deleted.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
_LOST = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
    }
)
# How often entries are tried that SQS refused for reasons of its own, and how long it is left
# alone before the second time; twice as long before the third, and a random part of it.
_TRIES = 3
_PAUSE_S = 0.2


class SqsQueue:
    """One queue on SQS; safe to share between threads, which then share calls that send.

    Args:
        pause: waits for so many seconds before refused entries are tried again.
        polling: what receives, as that may be silent for longer than other calls; the same unless
            given.
    """

    def __init__(
        self,
        sqs: Actions,
        name: str,
        pause: Callable[[float], object] = time.sleep,
        *,
        polling: Actions | None = None,
    ) -> None:
        self.name = name
        self._sqs = sqs
        self._polling = polling or sqs
        self._pause = pause
        self._known_url: str | None = None
        self._send_shared = Shared(self._send_some, BATCH)

    def send(self, bodies: Sequence[str]) -> None:
        """Send all of `bodies`; on `Unavailable` some of them may have been sent."""
        for some in _tens(bodies):
            if len(some) < BATCH:
                self._send_shared(some)
            elif refused := next(filter(None, self._send_some(some)), None):
                raise refused

    def receive(self, *, wait_s: int, visibility_s: int, at_most: int = BATCH) -> list[Message]:
        """Return up to `at_most` messages, waiting up to `wait_s` (at most 20) for the first."""
        with self._calling("receiving from"):
            answer = self._polling.call(
                "ReceiveMessage",
                QueueUrl=self._url(),
                MaxNumberOfMessages=at_most,
                WaitTimeSeconds=min(wait_s, MAX_WAIT_S),
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                VisibilityTimeout=visibility_s,
            )
        return [
            Message(
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                receives=int(message["Attributes"]["ApproximateReceiveCount"]),
                sent_at=datetime.fromtimestamp(
                    int(message["Attributes"]["SentTimestamp"]) / 1000, UTC
                ),
            )
            for message in answer.get("Messages", ())
        ]

    def delete(self, receipts: Iterable[str]) -> list[str]:
        """Delete deliveries; return the receipts that are lost: expired, or never valid."""
        return self._each("deleting from", "DeleteMessageBatch", receipts, {})

    def change_visibility(self, receipts: Iterable[str], visibility_s: int) -> list[str]:
        """Hide deliveries for `visibility_s` from now; return the receipts that are lost."""
        return self._each(
            "changing visibility in",
            "ChangeMessageVisibilityBatch",
            receipts,
            {"VisibilityTimeout": visibility_s},
        )

    def counts(self) -> Counts:
        """Return how many messages the queue holds."""
        with self._calling("counting"):
            answer = self._sqs.call(
                "GetQueueAttributes",
                QueueUrl=self._url(),
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )["Attributes"]
        return Counts(
            visible=int(answer["ApproximateNumberOfMessages"]),
            in_flight=int(answer["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(answer["ApproximateNumberOfMessagesDelayed"]),
        )

    def _send_some(self, bodies: list[str]) -> list[Unavailable | None]:
        """Send up to ten; return for each why it was refused, None for those that were sent."""
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
        refused = self._batch("sending to", "SendMessageBatch", entries, final=frozenset())
        return [refused.passing.get(entry["Id"]) for entry in entries]

    def _each(
        self, doing: str, action: str, receipts: Iterable[str], extra: dict[str, int]
    ) -> list[str]:
        """Make a call for deliveries; return the receipts that are lost."""
        lost = []
        for some in _tens(list(receipts)):
            entries = [
                {"Id": str(i), "ReceiptHandle": receipt, **extra} for i, receipt in enumerate(some)
            ]
            refused = self._batch(doing, action, entries, final=_LOST)
            if refused.passing:
                raise next(iter(refused.passing.values()))
            lost += [some[int(i)] for i in refused.final]
        return lost

    def _batch(
        self, doing: str, action: str, entries: list[dict[str, Any]], *, final: frozenset[str]
    ) -> _Refused:
        """Make a batch call, again for entries that were refused with a code not in `final`."""
        refused = _Refused([], {})
        for tried in range(_TRIES):
            if tried:
                self._pause(random.random() * _PAUSE_S * 2 ** (tried - 1))  # noqa: S311  # no secret
            with self._calling(doing):
                answer = self._sqs.call(action, QueueUrl=self._url(), Entries=entries)
            failed = {each["Id"]: each for each in answer.get("Failed", ())}
            passing = {i: each for i, each in failed.items() if each["Code"] not in final}
            refused.final.extend(failed.keys() - passing.keys())
            entries = [entry for entry in entries if entry["Id"] in passing]
            if not entries:
                return refused
        told = f"{doing} {self.name}: {len(entries)} messages refused"
        for i, each in passing.items():
            refused.passing[i] = Unavailable(f"{told}: {each.get('Message') or each['Code']}")
        return refused

    def _url(self) -> str:
        if self._known_url is None:
            self._known_url = str(self._sqs.call("GetQueueUrl", QueueName=self.name)["QueueUrl"])
        return self._known_url

    @contextmanager
    def _calling(self, doing: str) -> Iterator[None]:
        with explained(f"{doing} {self.name}"), _missing(self.name):
            yield


@dataclass(frozen=True, slots=True)
class _Refused:
    """Entries of a batch that were refused, by their ids.

    Attributes:
        final: those that no further try would have helped.
        passing: the others, which were tried again, and why they were refused at last.
    """

    final: list[str]
    passing: dict[str, Unavailable]


class SqsQueues:
    """All queues of one account on SQS.

    Args:
        polling: what receives; the same client unless given.
    """

    def __init__(self, sqs: SQSClient, *, polling: SQSClient | None = None) -> None:
        self._sqs = sqs
        self._actions = Actions(sqs)
        self._polling = Actions(polling) if polling else None
        self._listed: dict[str, str] = {}

    def open(self, name: str) -> SqsQueue:
        """Return the queue called `name`; its absence shows at the first call."""
        return SqsQueue(self._actions, name, polling=self._polling)

    def create(self, name: str, *, retention_s: int, tags: dict[str, str]) -> SqsQueue:
        """Make a queue, or open the one that is there."""
        attributes = {
            "MessageRetentionPeriod": str(retention_s),
            "ReceiveMessageWaitTimeSeconds": str(MAX_WAIT_S),
            "SqsManagedSseEnabled": "true",
        }
        with explained(f"making the queue {name}"):
            self._sqs.create_queue(QueueName=name, Attributes=attributes, tags=tags)  # type: ignore[arg-type]
        return self.open(name)

    def tags(self, name: str) -> dict[str, str]:
        """Return a queue's tags."""
        with explained(f"reading the tags of {name}"), _missing(name):
            return self._sqs.list_queue_tags(QueueUrl=self._url(name)).get("Tags", {})

    def tag(self, name: str, tags: dict[str, str]) -> None:
        """Set tags of a queue."""
        with explained(f"tagging {name}"), _missing(name):
            self._sqs.tag_queue(QueueUrl=self._url(name), Tags=tags)

    def remove(self, name: str) -> None:
        """Remove a queue; one that is not there is no error."""
        with explained(f"removing the queue {name}"):
            try:
                self._sqs.delete_queue(QueueUrl=self._url(name))
            except ClientError as error:
                if error_code(error) not in _MISSING:
                    raise

    def names(self, prefix: str) -> list[str]:
        """Return the names of all queues that start with `prefix`."""
        pages = self._sqs.get_paginator("list_queues").paginate(QueueNamePrefix=prefix)
        with explained(f"listing queues called {prefix}…"):
            urls = [url for page in pages for url in page.get("QueueUrls", ())]
        self._listed = {url.rsplit("/", 1)[-1]: url for url in urls}  # and their URLs are known
        return list(self._listed)

    def _url(self, name: str) -> str:
        return self._listed.get(name) or self._sqs.get_queue_url(QueueName=name)["QueueUrl"]


def _tens(items: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), BATCH):
        yield list(items[start : start + BATCH])


@contextmanager
def _missing(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) in _MISSING:
            raise QueueMissing(
                f"no queue is called {name}: apply infra/data.yaml first, or check the prefix"
            ) from error
        raise
