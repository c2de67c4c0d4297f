"""What AWS does to its callers now and then, for `fault_proxy` to do when a test asks for it.

Calls bear the names that AWS gives them, `GetObject` or `ReceiveMessage`, whatever the service.
"""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic, TypeVar

S3 = frozenset({"GetObject", "PutObject", "HeadBucket", "ListObjectsV2"})
BATCHES = frozenset({"DeleteMessageBatch", "ChangeMessageVisibilityBatch"})
SQS = BATCHES | {"ReceiveMessage", "SendMessageBatch", "GetQueueUrl", "GetQueueAttributes"}
GET = frozenset({"GetObject"})
RECEIVE = frozenset({"ReceiveMessage"})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        calls: the calls that it happens to...
        share: ...and how many of them, 0 to 1.
        times: at most this often in all.
        each: at most this often to any one message or object.
        conditional: whether it happens to writes on a condition only.
        where: only where this is part of `<bucket>/<key>`, of `<bucket>/<prefix>` where that is
            listed, or of the queue's name.
        after: so many calls that it would happen to are spared first.
    """

    calls: AbstractSet[str] = S3 | SQS
    where: str = ""
    after: int = 0
    share: float = 1.0
    times: float = math.inf
    each: float = math.inf
    conditional: bool = False


@dataclass(frozen=True, kw_only=True)
class Refusal(Fault):
    """A call that is answered with an error.

    Attributes:
        done: whether AWS does what was asked nevertheless, and fails only afterwards.
        says: the sentence for people.
    """

    done: bool = False
    status: int
    code: str
    says: str


@dataclass(frozen=True, kw_only=True)
class SlowDown(Refusal):
    """S3 is asked too often.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """

    calls: AbstractSet[str] = S3
    status: int = 503
    code: str = "SlowDown"
    says: str = "Please reduce your request rate."


@dataclass(frozen=True, kw_only=True)
class InternalError(Refusal):
    """Something broke inside AWS."""

    status: int = 500
    code: str = "InternalError"
    says: str = "We encountered an internal error. Please try again."


@dataclass(frozen=True, kw_only=True)
class Denied(Refusal):
    """The credentials don't permit it, or AWS does not know them."""

    status: int = 403
    code: str = "AccessDenied"
    says: str = "Access Denied"


@dataclass(frozen=True, kw_only=True)
class Conflict(Refusal):
    """Another write of the same object is under way: "retry the upload", and not "it is there".

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
    """

    calls: AbstractSet[str] = frozenset({"PutObject"})
    conditional: bool = True
    status: int = 409
    code: str = "ConditionalRequestConflict"
    says: str = "The conditional request cannot succeed due to a conflicting operation."


@dataclass(frozen=True, kw_only=True)
class Throttled(Refusal):
    """SQS is asked too often; it has more than one code for that."""

    calls: AbstractSet[str] = SQS
    status: int = 400
    code: str = "RequestThrottled"
    says: str = "Rate exceeded"


@dataclass(frozen=True, kw_only=True)
class Reset(Fault):
    """The connection is reset after half of the answer's body; AWS has done what was asked.

    Of an answer without a body, nothing arrives.
    """


@dataclass(frozen=True, kw_only=True)
class Short(Fault):
    """The connection is closed in order, but after half of the answer's body."""

    calls: AbstractSet[str] = GET


@dataclass(frozen=True, kw_only=True)
class Garbled(Fault):
    """An object comes with half of its bytes, as if it had no more.

    AWS does no such thing; it is for images that one worker can read and another can't.
    """

    calls: AbstractSet[str] = GET


@dataclass(frozen=True, kw_only=True)
class Unanswered(Fault):
    """AWS does what was asked, and the connection is closed before a byte of the answer."""


@dataclass(frozen=True, kw_only=True)
class Dripping(Fault):
    """The answer's body comes in drops, over so many seconds."""

    calls: AbstractSet[str] = GET
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Lost(Fault):
    """SQS takes messages and loses them, as those are lost that nobody receives in time."""

    calls: AbstractSet[str] = frozenset({"SendMessageBatch"})


@dataclass(frozen=True, kw_only=True)
class Hold(Fault):
    """The call is accepted, and nothing happens for so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Duplicate(Fault):
    """A message that was received is delivered once more, to a receive so many seconds later.

    Its second delivery has a receipt of its own that works as well as the first one's.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues-at-least-once-delivery.html
    """

    calls: AbstractSet[str] = RECEIVE
    each: float = 1
    after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Reorder(Fault):
    """A message is passed over, and delivered by a receive so many seconds later."""

    calls: AbstractSet[str] = RECEIVE
    each: float = 1
    after_s: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Expired(Fault):
    """A receipt is refused as too old, for good, and its message can be received by anybody."""

    calls: AbstractSet[str] = BATCHES
    each: float = 1
    code: str = "ReceiptHandleIsInvalid"


@dataclass(frozen=True, kw_only=True)
class Refused(Fault):
    """An entry of a batch is refused through no fault of the caller's; the receipt stays good."""

    calls: AbstractSet[str] = BATCHES
    code: str = "InternalError"


F = TypeVar("F", bound=Fault)


@dataclass
class Injected(Generic[F]):
    """A fault at work.

    Attributes:
        count: how often it happened so far.
        spared: how often it did not, as it was too early.
    """

    fault: F
    chance: random.Random
    count: int = 0
    spared: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _hurt: Counter[str] = field(default_factory=Counter)
    _over: bool = False

    def strikes(self, call: str, about: str = "", where: str = "") -> bool:
        """Decide whether it happens now, and count it.

        Args:
            call: the call's name.
            about: the message or object that it is about.
            where: the bucket with the object's key, or the queue.
        """
        fault = self.fault
        with self._lock:
            happens = (
                not self._over
                and call in fault.calls
                and fault.where in where
                and self.count < fault.times
                and self._hurt[about] < fault.each
                and self.chance.random() < fault.share
            )
            if happens and self.spared < fault.after:
                self.spared += 1
                return False
            self.count += happens
            self._hurt[about] += happens
            return happens

    def end(self) -> None:
        """Let it happen no more."""
        self._over = True
