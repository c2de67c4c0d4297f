"""Queues, as the tiers ask for them. A queue is only a messenger: any message may come twice.

`sqs.SqsQueues` is them on SQS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
BATCH = 10
MAX_WAIT_S = 20


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

    def receive(self, *, wait_s: int, visibility_s: int, at_most: int = BATCH) -> list[Message]:
        """Return up to `at_most` messages (1 to 10), waiting up to `wait_s` (at most 20).

        They are hidden from everybody else for `visibility_s`.
        """

    def delete(self, receipts: Iterable[str]) -> list[str]:
        """Delete deliveries; return the receipts that are lost: expired, or never valid.

        Those refused for a reason that passes are tried again, and then `Unavailable`.
        """

    def change_visibility(self, receipts: Iterable[str], visibility_s: int) -> list[str]:
        """Hide deliveries for `visibility_s` from now; return the receipts that are lost.

        The message of a lost one is deleted, or belongs to somebody else now. Those refused for a
        reason that passes are tried again, and then `Unavailable`.
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
