"""The messages that go through `fault_proxy`: delivered twice or late, their receipts refused."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fault_kinds import Duplicate, Expired, Fault, Injected, Refused, Reorder

F = TypeVar("F", bound=Fault)
Json = dict[str, Any]
# Sends a call to the emulator: its name, and what it asks for.
Ask = Callable[[str, Json], Json]


@dataclass
class Known:
    """A message that was received: the receipt that the emulator takes, and whether it is gone."""

    id: str
    receipt: str
    deleted: bool = False


@dataclass(frozen=True)
class Kept:
    """A delivery that is still to come."""

    queue: str
    due_at: float
    message: Json
    again: bool


@dataclass
class Messages:
    """Changes what SQS is asked and answers, for the faults that are about single messages.

    An emulator knows only the latest receipt of a message. Of AWS's leniency this adds that
    deleting what has been deleted already succeeds.
    """

    injected: Sequence[Injected[Any]]
    chance: random.Random
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[str, Known] = field(default_factory=dict)
    _by_receipt: dict[str, Known] = field(default_factory=dict)
    _seconds: set[str] = field(default_factory=set)
    _dead: dict[str, str] = field(default_factory=dict)
    _kept: list[Kept] = field(default_factory=list)

    def kept(self) -> int:
        """Return how many deliveries are still to come."""
        return len(self._kept)

    def receive(self, asked: Json, ask: Ask) -> Json:
        """Answer a receive: with what was kept until now, else with what the emulator has."""
        queue = asked["QueueUrl"]
        if due := self._due(queue, int(asked.get("MaxNumberOfMessages", 1))):
            messages = self._deliver_late(due, asked, ask)
        else:
            messages = self._mix(ask("ReceiveMessage", asked).get("Messages", []), queue)
        return {"Messages": messages} if messages else {}

    def batch(self, call: str, asked: Json, ask: Ask) -> Json:
        """Answer a batch of deletions or of changes of visibility."""
        deleting, failed, done, passed = call == "DeleteMessageBatch", [], [], []
        for entry in asked["Entries"]:
            if refusal := self._refusal(call, entry, asked["QueueUrl"], ask):
                failed.append({"Id": entry["Id"], **refusal})
                continue
            known = self._by_receipt.get(entry["ReceiptHandle"])
            if known and known.deleted and deleting:
                done.append({"Id": entry["Id"]})
            elif known and entry["ReceiptHandle"] in self._seconds:
                passed.append({**entry, "ReceiptHandle": known.receipt})
            else:
                passed.append(entry)
        answer = ask(call, {**asked, "Entries": passed}) if passed else {}
        if deleting:
            self._forget(passed, answer)
        return {
            "Successful": done + answer.get("Successful", []),
            "Failed": failed + answer.get("Failed", []),
        }

    def _mix(self, messages: list[Json], queue: str) -> list[Json]:
        """Keep some of the messages for later, and copies of some."""
        now, delivered = time.monotonic(), []
        for message in messages:
            self._learn(message)
            for duplicate in self._striking(
                Duplicate, "ReceiveMessage", message["MessageId"], queue
            ):
                self._keep(Kept(queue, now + duplicate.after_s, self._second(message), again=True))
            late = self._striking(Reorder, "ReceiveMessage", message["MessageId"], queue)
            if late:
                self._keep(Kept(queue, now + late[0].after_s, message, again=False))
            else:
                delivered.append(message)
        if self._any(Reorder):
            self.chance.shuffle(delivered)
        return delivered

    def _deliver_late(self, due: list[Kept], asked: Json, ask: Ask) -> list[Json]:
        """Return kept messages; one that was only passed over is hidden from now on."""
        entries = [
            {
                "Id": str(number),
                "ReceiptHandle": each.message["ReceiptHandle"],
                "VisibilityTimeout": asked.get("VisibilityTimeout", 30),
            }
            for number, each in enumerate(due)
            if not each.again
        ]
        lost = set()
        if entries:
            changed = {"QueueUrl": asked["QueueUrl"], "Entries": entries}
            answer = ask("ChangeMessageVisibilityBatch", changed)
            lost = {failed["Id"] for failed in answer.get("Failed", [])}
        return [each.message for number, each in enumerate(due) if str(number) not in lost]

    def _refusal(self, call: str, entry: Json, queue: str, ask: Ask) -> Json | None:
        """Return why an entry is refused, if it is."""
        receipt = entry["ReceiptHandle"]
        known = self._by_receipt.get(receipt)
        about = known.id if known else receipt
        if receipt not in self._dead and known and not known.deleted:
            for fault in self._striking(Expired, call, about, queue):
                self._dead[receipt] = fault.code
                self._show(known, queue, ask)
        if receipt in self._dead:
            why = "The receipt handle has expired."
            return {"Code": self._dead[receipt], "Message": why, "SenderFault": True}
        for refused in self._striking(Refused, call, about, queue):
            return {"Code": refused.code, "Message": "Try again.", "SenderFault": False}
        return None

    def _show(self, known: Known, queue: str, ask: Ask) -> None:
        entry = {"Id": "0", "ReceiptHandle": known.receipt, "VisibilityTimeout": 0}
        ask("ChangeMessageVisibilityBatch", {"QueueUrl": queue, "Entries": [entry]})

    def _learn(self, message: Json) -> None:
        """Remember a message's latest receipt."""
        receipt = message["ReceiptHandle"]
        with self._lock:
            known = self._known.setdefault(message["MessageId"], Known(message["MessageId"], ""))
            known.receipt, self._by_receipt[receipt] = receipt, known

    def _second(self, message: Json) -> Json:
        """Return a second delivery of a message."""
        receipt = f"second-{uuid.uuid4()}"
        attributes = dict(message.get("Attributes", {}))
        if "ApproximateReceiveCount" in attributes:
            attributes["ApproximateReceiveCount"] = str(
                int(attributes["ApproximateReceiveCount"]) + 1
            )
        with self._lock:
            self._by_receipt[receipt] = self._known[message["MessageId"]]
            self._seconds.add(receipt)
        return {**message, "ReceiptHandle": receipt, "Attributes": attributes}

    def _forget(self, entries: list[Json], answer: Json) -> None:
        """Remember which messages are gone."""
        gone = {each["Id"] for each in answer.get("Successful", [])}
        for entry in entries:
            for known in self._known.values() if entry["Id"] in gone else ():
                if known.receipt == entry["ReceiptHandle"]:
                    known.deleted = True

    def _keep(self, kept: Kept) -> None:
        with self._lock:
            self._kept.append(kept)

    def _due(self, queue: str, most: int) -> list[Kept]:
        """Take what is due for a receive."""
        now = time.monotonic()
        with self._lock:
            due = [each for each in self._kept if each.queue == queue and each.due_at <= now]
            for each in due[:most]:
                self._kept.remove(each)
        return due[:most]

    def _striking(self, kind: type[F], call: str, about: str, queue: str) -> list[F]:
        """Return the faults of one kind that happen now."""
        return [
            each.fault
            for each in self.injected
            if isinstance(each.fault, kind) and each.strikes(call, about, queue)
        ]

    def _any(self, kind: type[Fault]) -> bool:
        return any(isinstance(each.fault, kind) for each in self.injected)
