from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import boto3
import pytest

import fakes
from imagefleet_core.aws import Aws
from imagefleet_core.errors import Misconfigured, QueueMissing, Unavailable
from imagefleet_core.queues import Counts, Message, Queue, Queues
from imagefleet_core.sqs import SqsQueue, SqsQueues
from s3_server import REGION, SECRETS, S3Server, refuse_action


@pytest.fixture
def queue(queues: Queues) -> Queue:
    return queues.create("requests", retention_s=300, tags={})


def receive_all(queue: Queue) -> list[Message]:
    """Receive until the queue gives nothing more."""
    received = []
    while some := queue.receive(wait_s=0, visibility_s=60):
        received += some
    return received


def test_many_messages_go_through_in_tens(queue: Queue) -> None:
    bodies = [f"body {number}" for number in range(25)]

    queue.send(bodies)
    first = queue.receive(wait_s=0, visibility_s=60)
    received = first + receive_all(queue)

    assert len(first) == 10
    assert sorted(message.body for message in received) == sorted(bodies)
    assert len({message.receipt for message in received}) == 25
    assert {message.receives for message in received} == {1}
    assert all(datetime.now(UTC) - message.sent_at < timedelta(minutes=1) for message in received)


def test_counts_tell_waiting_from_received(queue: Queue) -> None:
    queue.send([str(number) for number in range(12)])
    queue.receive(wait_s=0, visibility_s=60)

    assert queue.counts() == Counts(visible=2, in_flight=10, delayed=0)
    assert queue.counts().total == 12


def test_a_deleted_message_does_not_come_back(queue: Queue) -> None:
    queue.send([str(number) for number in range(12)])
    receipts = [message.receipt for message in receive_all(queue)]

    assert queue.delete(receipts) == []

    assert queue.counts().total == 0


def test_a_message_given_back_comes_again_and_counts_its_receives(queue: Queue) -> None:
    queue.send(["cat"])
    (first,) = queue.receive(wait_s=0, visibility_s=60)

    assert queue.change_visibility([first.receipt], 0) == []
    (second,) = queue.receive(wait_s=0, visibility_s=60)

    assert (first.receives, second.receives) == (1, 2)
    assert second.receipt != first.receipt


def test_visibility_of_a_deleted_message_cannot_be_changed(queue: Queue) -> None:
    queue.send(["cat", "dog"])
    cat, dog = queue.receive(wait_s=0, visibility_s=60)
    queue.delete([cat.receipt])

    assert queue.change_visibility([cat.receipt, dog.receipt], 60) == [cat.receipt]


def test_nothing_to_do_is_no_call(queue: Queue) -> None:
    queue.send([])

    assert queue.delete([]) == []
    assert queue.change_visibility([], 0) == []
    assert queue.receive(wait_s=0, visibility_s=60) == []


def test_a_queue_that_is_not_there_is_missing(queues: Queues) -> None:
    queue = queues.open("nowhere")

    for call in (
        lambda: queue.send(["cat"]),
        lambda: queue.receive(wait_s=0, visibility_s=60),
        lambda: queue.counts(),
        lambda: queues.tags("nowhere"),
        lambda: queues.tag("nowhere", {"a": "b"}),
    ):
        with pytest.raises(QueueMissing, match="no queue is called nowhere"):
            call()


def test_queues_are_made_tagged_listed_and_removed(queues: Queues) -> None:
    for name in ("replies-1", "replies-2", "other"):
        queues.create(name, retention_s=300, tags={"alive": "1"})
    queues.tag("replies-1", {"alive": "2"})
    queues.create("replies-2", retention_s=300, tags={"alive": "1"})  # again, and no error

    assert sorted(queues.names("replies-")) == ["replies-1", "replies-2"]
    assert queues.tags("replies-1") == {"alive": "2"}

    queues.remove("replies-1")
    queues.remove("replies-1")  # again, and no error

    assert queues.names("replies-") == ["replies-2"]


class FlakySqs:
    """An SQS that refuses some entries of a batch: the next `refusals` with `code`."""

    def __init__(self, refusals: int, code: str = "InternalError", message: str = "busy") -> None:
        self.refusals = refusals
        self.failure = {"Code": code, "Message": message, "SenderFault": code != "InternalError"}
        self.taken: list[str] = []
        self.pauses: list[float] = []

    def queue(self) -> SqsQueue:
        return SqsQueue(self, "requests", pause=self.pauses.append)  # type: ignore[arg-type]

    def call(self, action: str, **asked: Any) -> dict[str, Any]:
        if action == "GetQueueUrl":
            return {"QueueUrl": asked["QueueName"]}
        failed = []
        for entry in asked["Entries"]:
            if self.refusals:
                self.refusals -= 1
                failed.append({"Id": entry["Id"], **self.failure})
            else:
                self.taken.append(entry.get("MessageBody") or entry["ReceiptHandle"])
        return {"Failed": failed}


def test_messages_that_sqs_refused_are_sent_again_and_the_others_not() -> None:
    sqs = FlakySqs(refusals=3)

    sqs.queue().send(["a", "b", "c", "d", "e"])

    assert sorted(sqs.taken) == ["a", "b", "c", "d", "e"]
    assert len(sqs.pauses) == 1


def test_messages_refused_for_good_are_an_error() -> None:
    sqs = FlakySqs(refusals=100)

    with pytest.raises(Unavailable, match="sending to requests: 2 messages refused: busy"):
        sqs.queue().send(["a", "b"])


def test_threads_share_calls_and_each_hears_of_its_own_messages_only() -> None:
    # given a call that is under way while three others want to send, one of them in vain
    sqs, begun, goes_on = FlakySqs(0), Event(), Event()
    calls, call = [], sqs.call

    def slow_at_first(action: str, **asked: Any) -> dict[str, Any]:
        if action == "SendMessageBatch":
            calls.append([entry["MessageBody"] for entry in asked["Entries"]])
            if len(calls) == 1:
                begun.set()
                assert goes_on.wait(20)
            refused = [entry for entry in asked["Entries"] if entry["MessageBody"] == "c"]
            return {"Failed": [{"Id": entry["Id"], **sqs.failure} for entry in refused]}
        return call(action, **asked)

    sqs.call = slow_at_first  # type: ignore[method-assign]
    queue = sqs.queue()
    queue._send_shared._patience_s = 20
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(queue.send, ["a"])
        assert begun.wait(20)
        others = [pool.submit(queue.send, [body]) for body in "bcd"]
        while len(queue._send_shared._waiting) < 3:
            pass
        goes_on.set()

        assert first.result(20) is None
        errors = [each.exception(20) for each in others]
    assert sorted(calls[1]) == ["b", "c", "d"]
    assert [type(error) for error in errors] == [type(None), Unavailable, type(None)]
    assert calls[2:] == [["c"]] * 2


LOST = [
    ("ReceiptHandleIsInvalid", "The input receipt handle is invalid."),
    ("InvalidParameterValue", "Value a for parameter ReceiptHandle is invalid. Reason: expired."),
    ("AWS.SimpleQueueService.MessageNotInflight", ""),
    ("MessageNotInflight", ""),
]


@pytest.mark.parametrize(("code", "message"), LOST)
def test_receipts_that_are_lost_are_told_and_not_tried_again(code: str, message: str) -> None:
    sqs = FlakySqs(1, code, message)

    assert sqs.queue().change_visibility(["lost", "held"], 60) == ["lost"]
    assert sqs.taken == ["held"]

    sqs.refusals = 1
    assert sqs.queue().delete([f"{number}" for number in range(12)]) == ["0"]
    assert sqs.pauses == []


@pytest.mark.parametrize("code", ["InternalError", "ServiceUnavailable", "RequestThrottled"])
def test_receipts_that_sqs_was_too_busy_for_are_not_lost(code: str) -> None:
    sqs = FlakySqs(2, code)

    assert sqs.queue().change_visibility(["a", "b", "c"], 60) == []
    assert sqs.queue().delete(["d"]) == []

    assert sorted(sqs.taken) == ["a", "b", "c", "d"]


def test_receipts_that_sqs_stays_too_busy_for_are_an_error() -> None:
    sqs = FlakySqs(100)

    with pytest.raises(Unavailable, match="deleting from requests: 2 messages refused: busy"):
        sqs.queue().delete(["a", "b"])
    with pytest.raises(Unavailable, match="changing visibility in requests: 1 messages refused"):
        sqs.queue().change_visibility(["a"], 60)


@pytest.mark.parametrize("code", ["RequestThrottled", "ThrottlingException", "OverLimit"])
@pytest.mark.usefixtures("aws")
def test_throttling_is_an_error_that_passes(s3: S3Server, code: str) -> None:
    sqs = Aws(boto3.Session("test", SECRETS["test"], region_name=REGION), attempts=1).sqs(1)
    queue = SqsQueues(sqs).create("requests", retention_s=300, tags={})
    queue.send(["cat"])

    for call in (
        lambda: queue.send(["cat"]),
        lambda: queue.receive(wait_s=0, visibility_s=60),
        lambda: queue.delete(["cat"]),
        lambda: queue.change_visibility(["cat"], 60),
        lambda: queue.counts(),
    ):
        s3.faults.append(refuse_action(400, code, "slower"))
        with pytest.raises(Unavailable, match=f"requests: .* answered {code}: slower") as caught:
            call()
        assert not isinstance(caught.value, Misconfigured)


@pytest.mark.usefixtures("s3")
def test_a_receipt_of_no_queue_is_lost(aws: Aws) -> None:
    queue = SqsQueues(aws.sqs(1)).create("requests", retention_s=300, tags={})

    assert queue.delete(["nonsense"]) == ["nonsense"]
    assert queue.change_visibility(["nonsense"], 60) == ["nonsense"]


def test_the_fake_hides_a_message_until_its_visibility_timeout() -> None:
    now = 1000.0
    queue = fakes.MemoryQueues(clock=lambda: now).add("requests")
    queue.send(["cat"])
    (first,) = queue.receive(wait_s=0, visibility_s=60)

    now += 59
    assert queue.receive(wait_s=0, visibility_s=60) == []
    now += 1
    (second,) = queue.receive(wait_s=0, visibility_s=60)

    assert queue.change_visibility([first.receipt], 60) == [first.receipt]
    assert queue.change_visibility([second.receipt], 60) == []


def test_the_fake_moves_a_message_to_the_dead_letters_after_its_last_receive() -> None:
    queues = fakes.MemoryQueues()
    queue = queues.add("requests", dead_letters="requests-dead", max_receives=2)
    queue.send(["poison"])
    for _ in range(2):
        (message,) = queue.receive(wait_s=0, visibility_s=60)
        queue.change_visibility([message.receipt], 0)

    assert queue.receive(wait_s=0, visibility_s=60) == []
    assert queues.open("requests-dead").bodies() == ["poison"]
