"""Queues over SQS, batching by ten. A queue is only a messenger: any message may come twice.

`Queue` and `Queues` are what the tiers ask for; `SqsQueue` and `SqsQueues` are them on SQS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from imagefleet_core.aws import error_code, explained
from imagefleet_core.errors import QueueMissing, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
BATCH = 10
MAX_WAIT_S = 20

_MISSING = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}
_SEND_TRIES = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a message.

    Attributes:
        receipt: names this delivery when it is deleted or its visibility is changed.
        receives: how often the message has been delivered, this time included.
    """

    body: str
    receipt: str
    receives: int
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """About how many messages a queue holds; on AWS up to a minute behind."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages, whatever their state."""
        return self.visible + self.in_flight + self.delayed


class Queue(Protocol):
    """One queue. Every method raises `Unavailable`, or `QueueMissing` if it is not there."""

    def send(self, bodies: Sequence[str]) -> None:
        """Send all of `bodies`; on `Unavailable` some of them may have been sent."""

    def receive(self, *, wait_s: int, visibility_s: int) -> list[Message]:
        """Return up to ten messages, waiting up to `wait_s` (at most 20) for the first.

        They are hidden from everybody else for `visibility_s`.
        """

    def delete(self, receipts: Iterable[str]) -> list[str]:
        """Delete deliveries; return the receipts that were refused."""

    def change_visibility(self, receipts: Iterable[str], visibility_s: int) -> list[str]:
        """Hide deliveries for `visibility_s` from now; return the receipts that were refused.

        A refused receipt has expired: the message belongs to somebody else now.
        """

    def counts(self) -> Counts:
        """Return how many messages the queue holds."""


class Queues(Protocol):
    """All queues of one account, by name."""

    def open(self, name: str) -> Queue:
        """Return the queue called `name`; its absence shows at the first call."""

    def create(self, name: str, *, retention_s: int, tags: dict[str, str]) -> Queue:
        """Make a queue, or open the one that is there."""

    def tags(self, name: str) -> dict[str, str]:
        """Return a queue's tags."""

    def tag(self, name: str, tags: dict[str, str]) -> None:
        """Set tags of a queue."""

    def remove(self, name: str) -> None:
        """Remove a queue; one that is not there is no error."""

    def names(self, prefix: str) -> list[str]:
        """Return the names of all queues that start with `prefix`."""


class SqsQueue:
    """One queue on SQS."""

    def __init__(self, sqs: SQSClient, name: str) -> None:
        self.name = name
        self._sqs = sqs
        self._known_url: str | None = None

    def send(self, bodies: Sequence[str]) -> None:
        """Send all of `bodies`; on `Unavailable` some of them may have been sent."""
        for some in _tens(bodies):
            self._send_ten(some)

    def receive(self, *, wait_s: int, visibility_s: int) -> list[Message]:
        """Return up to ten messages, waiting up to `wait_s` (at most 20) for the first."""
        with self._calling("receiving from"):
            answer = self._sqs.receive_message(
                QueueUrl=self._url(),
                MaxNumberOfMessages=BATCH,
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
        """Delete deliveries; return the receipts that were refused."""
        return self._each_ten(receipts, {}, "deleting from", self._sqs.delete_message_batch)

    def change_visibility(self, receipts: Iterable[str], visibility_s: int) -> list[str]:
        """Hide deliveries for `visibility_s` from now; return the receipts that were refused."""
        return self._each_ten(
            receipts,
            {"VisibilityTimeout": visibility_s},
            "changing visibility in",
            self._sqs.change_message_visibility_batch,
        )

    def counts(self) -> Counts:
        """Return how many messages the queue holds."""
        with self._calling("counting"):
            answer = self._sqs.get_queue_attributes(
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

    def _send_ten(self, bodies: list[str]) -> None:
        """Send up to ten bodies, trying again those that SQS itself failed to take."""
        for _ in range(_SEND_TRIES):
            entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
            with self._calling("sending to"):
                answer = self._sqs.send_message_batch(
                    QueueUrl=self._url(),
                    Entries=entries,  # type: ignore[arg-type]  # the stub wants its own dict
                )
            failed = answer.get("Failed", [])
            if not failed:
                return
            bodies = [bodies[int(each["Id"])] for each in failed]
        reason = failed[0].get("Message", failed[0]["Code"])
        raise Unavailable(f"sending to {self.name}: {len(failed)} messages refused: {reason}")

    def _each_ten(
        self,
        receipts: Iterable[str],
        extra: dict[str, int],
        doing: str,
        call: Callable[..., Any],
    ) -> list[str]:
        refused = []
        for some in _tens(list(receipts)):
            entries = [
                {"Id": str(i), "ReceiptHandle": receipt, **extra} for i, receipt in enumerate(some)
            ]
            with self._calling(doing):
                answer = call(QueueUrl=self._url(), Entries=entries)
            refused += [some[int(each["Id"])] for each in answer.get("Failed", ())]
        return refused

    def _url(self) -> str:
        if self._known_url is None:
            self._known_url = self._sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
        return self._known_url

    @contextmanager
    def _calling(self, doing: str) -> Iterator[None]:
        with explained(f"{doing} {self.name}"), _missing(self.name):
            yield


class SqsQueues:
    """All queues of one account on SQS."""

    def __init__(self, sqs: SQSClient) -> None:
        self._sqs = sqs

    def open(self, name: str) -> SqsQueue:
        """Return the queue called `name`; its absence shows at the first call."""
        return SqsQueue(self._sqs, name)

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
            return [url.rsplit("/", 1)[-1] for page in pages for url in page.get("QueueUrls", ())]

    def _url(self, name: str) -> str:
        return self._sqs.get_queue_url(QueueName=name)["QueueUrl"]


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
