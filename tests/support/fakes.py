"""Small working implementations of the store and the queues, in memory.

`unit/core/test_store.py` and `test_queues.py` run the same tests over these and over the real
ones, so that they cannot drift apart.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO
from uuid import UUID

from imagefleet_core import keys
from imagefleet_core.errors import (
    BatchDeleted,
    DecodeError,
    ObjectMissing,
    ObjectTooLarge,
    QueueMissing,
    Unavailable,
)
from imagefleet_core.inbox import ANNOUNCED_WITHIN_S
from imagefleet_core.jobs import JobId, Result, Status, made_at_s
from imagefleet_core.queues import BATCH, Counts, Message
from imagefleet_core.store import BatchPage, Form, ImagePiece, Note, ResultList


class Outage:
    """A switch that makes calls fail: all of them, or the next few whose name matches."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}

    def begin(self, call: str = "*", times: float = float("inf")) -> None:
        """Fail the next `times` calls of `call`, or of anything."""
        self._left[call] = times

    def end(self) -> None:
        """Answer again."""
        self._left.clear()

    def check(self, call: str) -> None:
        """Raise `Unavailable` if this call is to fail."""
        for name in (call, "*"):
            if self._left.get(name, 0) > 0:
                self._left[name] -= 1
                raise Unavailable(f"{call}: nothing answers at the test's order")


class MemoryStore:
    """Images and results in two dictionaries, `images` and `results` by key.

    Attributes:
        page: how many batches are listed at once.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.outage = Outage()
        self.page = 1000
        self._clock = clock
        self._versions = itertools.count(1)
        self._put_at: dict[str, float] = {}
        self._written: dict[str, tuple[str, float]] = {}
        self.images: dict[str, bytes] = {}
        self.results: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put_image(self, key: str, body: bytes | IO[bytes], content_type: str) -> None:
        self.outage.check("put_image")
        self.images[key] = body if isinstance(body, bytes) else body.read()
        self._put_at[key] = self._clock()

    def get_image(
        self, key: str, max_bytes: int, admit: Callable[[int], None] | None = None
    ) -> bytes:
        self.outage.check("get_image")
        if key not in self.images:
            raise ObjectMissing(f"the image {key} is not in the store")
        if len(self.images[key]) > max_bytes:
            raise ObjectTooLarge(f"{len(self.images[key])} bytes; at most {max_bytes} are accepted")
        if admit:
            admit(len(self.images[key]))
        return self.images[key]

    def upload_form(self, key: str, content_type: str, *, max_bytes: int, life_s: int) -> Form:
        self.outage.check("upload_form")
        limits = {"at_most": str(max_bytes), "until": str(self._clock() + life_s)}
        return Form("https://store.test/", {"key": key, "Content-Type": content_type, **limits})

    def post(self, form: Form, body: bytes) -> bool:
        """Upload with a form, as its client does; return whether that was in time and in bounds."""
        fields = form.fields
        taken = 0 < len(body) <= int(fields["at_most"]) and self._clock() < float(fields["until"])
        if taken:
            self.images[fields["key"]] = body
        return taken

    def image_key(self, job: JobId) -> str | None:
        self.outage.check("image_key")
        prefixes = keys.input_key_prefix(job), keys.inbox_key_prefix(job)
        return next((key for key in self.images if key.startswith(prefixes)), None)

    def dropped_key(self, job: JobId) -> str | None:
        self.outage.check("dropped_key")
        try:
            result = self.get_result(job)
        except DecodeError:
            return None
        key = keys.dropped_key(result.key) if result and result.key else None
        if key is None or key not in self.images:
            return None
        replaced = self._put_at.get(key, 0.0) > made_at_s(UUID(job.batch)) + ANNOUNCED_WITHIN_S
        return None if replaced else key

    def read_image(self, key: str, start: int, at_most: int) -> ImagePiece:
        self.outage.check("read_image")
        if key not in self.images:
            raise ObjectMissing(f"the image {key} is not in the store")
        image = self.images[key]
        version = f'"{hashlib.md5(image, usedforsecurity=False).hexdigest()}"'
        return ImagePiece(image[start : start + at_most], len(image), version if image else "")

    def put_result(self, result: Result) -> bool:
        self.outage.check("put_result")
        key = keys.result_key(result.job)
        with self._lock:
            if result.status is Status.FAILED and (
                key in self.results or self._marked(result.job.batch)
            ):
                return False
            self.results[key] = result.encode().encode()
            return True

    def get_result(self, job: JobId) -> Result | None:
        self.outage.check("get_result")
        body = self.results.get(keys.result_key(job))
        return None if body is None else Result.decode(body)

    def image_names(self, batch: str) -> dict[int, str]:
        self.outage.check("image_names")
        found = (keys.parse_input_key(key) for key in _under(self.images, batch))
        return dict(numbered for numbered in found if numbered)

    def inbox_numbers(self, batch: str) -> set[int]:
        self.outage.check("inbox_numbers")
        found = (keys.parse_input_key(key) for key in _under(self.images, f"{keys.INBOX}{batch}"))
        return {numbered[0] for numbered in found if numbered}

    def list_results(self, batch: str) -> ResultList:
        self.outage.check("list_results")
        if self._marked(batch):
            raise BatchDeleted(f"the batch {batch} was deleted")
        found = (keys.parse_result_key(key) for key in _under(self.results, batch))
        numbers = {number for number in found if number is not None}
        return ResultList(numbers, keys.awaited_key(batch) in self.results)

    def result_numbers(self, batch: str) -> set[int]:
        return self.list_results(batch).numbers

    def batches_from(self, start: str) -> BatchPage:
        self.outage.check("batches_from")
        ids = sorted({key.split("/")[0] for key in (*self.images, *self.results)})
        after = [each for each in ids if each > start]
        return BatchPage(after[: self.page], len(after) > self.page)

    def delete_batch(self, batch: str) -> bool:
        self.outage.check("delete_batch")
        inbox = f"{keys.INBOX}{batch}"
        if not any(
            [_under(self.images, batch), _under(self.images, inbox), _under(self.results, batch)]
        ):
            return False
        if dropped := self.dropped_key(JobId(batch, 1)):
            del self.images[dropped]
        self.results[keys.deletion_key(batch)] = b""
        for objects in (self.images, self.results):
            for key in (*_under(objects, batch), *_under(objects, inbox)):
                if key != keys.deletion_key(batch):
                    del objects[key]
        return True

    def is_deleted(self, batch: str) -> bool:
        self.outage.check("is_deleted")
        return self._marked(batch)

    def read_note(self, key: str) -> Note | None:
        self.outage.check("read_note")
        with self._lock:
            if key not in self.results:
                return None
            version, written_at = self._written[key]
            return Note(self.results[key], version, self._clock() - written_at)

    def write_note(self, key: str, body: bytes, replacing: str = "") -> str | None:
        self.outage.check("write_note")
        with self._lock:
            there = self._written[key][0] if key in self.results else ""
            if there != replacing:
                return None
            self.results[key] = body
            self._written[key] = f'"{next(self._versions)}"', self._clock()
            return self._written[key][0]

    def delete_note(self, key: str) -> None:
        self.outage.check("delete_note")
        with self._lock:
            self.results.pop(key, None)

    def note_keys(self, prefix: str, after: str = "", at_most: int = 1000) -> list[str]:
        self.outage.check("note_keys")
        with self._lock:
            found = sorted(key for key in self.results if key.startswith(prefix) and key > after)
        return found[: min(self.page, at_most)]

    def ping(self) -> None:
        self.outage.check("ping")

    def _marked(self, batch: str) -> bool:
        return keys.deletion_key(batch) in self.results


def _under(objects: dict[str, bytes], batch: str) -> list[str]:
    return [key for key in objects if key.startswith(keys.batch_prefix(batch))]


@dataclass
class _Held:
    """One message in a queue."""

    body: str
    sent_at: float
    visible_at: float
    receives: int = 0
    receipts: list[str] = field(default_factory=list)


class MemoryQueue:
    """A queue whose visibility runs on the test's clock; a wait ends at once if it is empty."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.outage = Outage()
        self.missing = False
        self.dead_letters: MemoryQueue | None = None
        self.max_receives = 5
        self._clock = clock
        self._messages: list[_Held] = []
        self._receipts = itertools.count(1)
        self._changed = threading.Condition()

    def bodies(self) -> list[str]:
        """Return the bodies of all messages, hidden ones included."""
        return [held.body for held in self._messages]

    def redeliver(self) -> None:
        """Make every message visible again, as SQS does when it delivers twice."""
        with self._changed:
            for held in self._messages:
                held.visible_at = 0
            self._changed.notify_all()

    def send(self, bodies: Sequence[str]) -> None:
        with self._changed:
            self._check("send")
            now = self._clock()
            self._messages += [_Held(body, now, now) for body in bodies]
            self._changed.notify_all()

    def receive(self, *, wait_s: int, visibility_s: int, at_most: int = BATCH) -> list[Message]:
        with self._changed:
            self._check("receive")
            if not self._visible():
                self._changed.wait(min(wait_s, 0.05))
            return [self._deliver(held, visibility_s) for held in self._visible()[:at_most]]

    def delete(self, receipts: Iterable[str]) -> list[str]:
        with self._changed:
            self._check("delete")
            for receipt in receipts:
                # As on SQS, any receipt of a message deletes it, and deleting twice is no error.
                self._messages = [m for m in self._messages if receipt not in m.receipts]
            return []

    def change_visibility(self, receipts: Iterable[str], visibility_s: int) -> list[str]:
        with self._changed:
            self._check("change_visibility")
            now, refused = self._clock(), []
            for receipt in receipts:
                held = next((m for m in self._messages if m.receipts[-1:] == [receipt]), None)
                if held is None or held.visible_at <= now:
                    refused.append(receipt)
                else:
                    held.visible_at = now + visibility_s
            self._changed.notify_all()
            return refused

    def counts(self) -> Counts:
        with self._changed:
            self._check("counts")
            visible = sum(held.visible_at <= self._clock() for held in self._messages)
            return Counts(visible, len(self._messages) - visible, 0)

    def _check(self, call: str) -> None:
        self.outage.check(call)
        if self.missing:
            raise QueueMissing(f"no queue is called {self.name}")

    def _visible(self) -> list[_Held]:
        now = self._clock()
        ready = [held for held in self._messages if held.visible_at <= now]
        if self.dead_letters is not None:
            for held in [held for held in ready if held.receives >= self.max_receives]:
                ready.remove(held)
                self._messages.remove(held)
                self.dead_letters.send([held.body])
        return ready

    def _deliver(self, held: _Held, visibility_s: int) -> Message:
        held.receives += 1
        held.visible_at = self._clock() + visibility_s
        held.receipts.append(f"{self.name}#{next(self._receipts)}")
        sent_at = datetime.fromtimestamp(held.sent_at, UTC)
        return Message(held.body, held.receipts[-1], held.receives, sent_at)


class MemoryQueues:
    """Queues by name; `add` makes those that the data stack makes."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.outage = Outage()
        self._clock = clock
        self._queues: dict[str, MemoryQueue] = {}
        self._tags: dict[str, dict[str, str]] = {}

    def add(
        self, name: str, *, dead_letters: str | None = None, max_receives: int = 5
    ) -> MemoryQueue:
        """Make a queue; after `max_receives` its messages go to the queue `dead_letters`."""
        queue = self._queues.setdefault(name, MemoryQueue(name, self._clock))
        queue.missing = False
        queue.dead_letters = self.add(dead_letters) if dead_letters else None
        queue.max_receives = max_receives
        self._tags.setdefault(name, {})
        return queue

    def open(self, name: str) -> MemoryQueue:
        if name not in self._queues:
            self._queues[name] = MemoryQueue(name, self._clock)
            self._queues[name].missing = True
        return self._queues[name]

    def create(self, name: str, *, retention_s: int, tags: dict[str, str]) -> MemoryQueue:
        self.outage.check("create")
        queue = self.add(name)
        self._tags[name] |= tags
        return queue

    def tags(self, name: str) -> dict[str, str]:
        self.outage.check("tags")
        self._require(name)
        return dict(self._tags[name])

    def tag(self, name: str, tags: dict[str, str]) -> None:
        self.outage.check("tag")
        self._require(name)
        self._tags[name] |= tags

    def remove(self, name: str) -> None:
        self.outage.check("remove")
        if name in self._queues:
            self._queues[name].missing = True

    def names(self, prefix: str) -> list[str]:
        self.outage.check("names")
        return sorted(
            name
            for name, queue in self._queues.items()
            if name.startswith(prefix) and not queue.missing
        )

    def _require(self, name: str) -> None:
        if name not in self.names(name):
            raise QueueMissing(f"no queue is called {name}")
