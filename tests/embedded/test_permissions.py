"""The roles in infra/fleet.yaml permit what the tiers call, and nothing else of S3 and SQS."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

import cloudformation
from imagefleet_core.aws import Aws
from imagefleet_core.calls import Call, Calls, Site
from imagefleet_core.jobs import Failure, JobId, Result, new_batch_id
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_core.queues import Queue, Queues
from imagefleet_core.s3 import S3Store
from imagefleet_core.sqs import SqsQueues
from imagefleet_core.store import Store
from imagefleet_scaler import launches, lease, purse
from place import Place

pytestmark = pytest.mark.embedded

IMAGES = Path(__file__).parents[2] / "images"
# Which queue each use of one is of. A new use has to be told here, and permitted in the template.
QUEUES = {
    ("worker", "startup.py", "queues.open(settings.requests_queue)"): "requests",
    ("worker", "consumer.py", "self._queue"): "requests",
    ("worker", "leases.py", "self._queue"): "requests",
    ("worker", "finishing.py", "self._requests"): "requests",
    ("worker", "finishing.py", "self._reply_queue(name)"): "replies",
    ("worker", "telemetry.py", "self._queue"): "telemetry",
    ("web", "intake.py", "self._requests"): "requests",
    ("web", "readiness.py", "requests"): "requests",
    ("web", "backlog.py", "self._requests"): "requests",
    ("web", "janitor.py", "self._dead_letters"): "requests-dead",
    ("web", "janitor.py", "self._queues.open(reply_to)"): "replies",
    ("web", "replies.py", "self._queue"): "replies",
    ("web", "replies.py", "self._queues"): "replies",
    ("web", "leftovers.py", "queues"): "replies",
    ("web", "announcing.py", "self._telemetry"): "telemetry",
    ("scaler", "loop.py", "self._requests"): "requests",
    ("scaler", "telemetry.py", "self._queue"): "telemetry",
}
QUEUE_WORDS = ("queue", "requests", "telemetry", "letters")
# What a call needs that is not named like it.
ACTIONS = {
    "HeadBucket": {"s3:ListBucket"},
    "ListObjectsV2": {"s3:ListBucket"},
    "DeleteObjects": {"s3:DeleteObject"},
    "SendMessageBatch": {"sqs:SendMessage"},
    "DeleteMessageBatch": {"sqs:DeleteMessage"},
    "ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "CreateQueue": {"sqs:CreateQueue", "sqs:TagQueue"},
}
JOB = JobId(new_batch_id(), 1)
NOW = datetime.now(UTC)


def public(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def uses(tier: str) -> Iterator[tuple[str, str, str]]:
    """Yield file, object and name of each attribute that a tier's source looks up."""
    for file in sorted((IMAGES / tier / f"imagefleet_{tier}").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                yield file.name, ast.unparse(node.value), node.attr


def store_methods(tier: str) -> set[str]:
    return {name for _, _, name in uses(tier)} & public(Store)


def queue_methods(tier: str) -> set[tuple[str, str]]:
    """Return the kind of queue and the name of each method that a tier calls of one."""
    names = (public(Queue) | public(Queues)) - {"open"}  # which makes no call
    found = set()
    for file, of, name in uses(tier):
        if name in names and any(word in of.lower() for word in QUEUE_WORDS):
            assert (tier, file, of) in QUEUES, f"{tier}/{file}: which queue is {of} in .{name}()?"
            found.add((QUEUES[tier, file, of], name))
    return found


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[str, str]]]:
    """Yield a set that the calls to AWS go into: the action, and the bucket or queue."""
    seen: set[tuple[str, str]] = set()
    make, api_call = Calls.make, BaseClient._make_api_call  # type: ignore[attr-defined]

    def note(operation: str, asked: dict[str, Any], service: str, path: str = "") -> None:
        where = asked.get("Bucket") or asked.get("QueueName") or asked.get("QueueUrl") or path
        name = "*" if operation == "ListQueues" else where.rstrip("/").rpartition("/")[2]
        for action in ACTIONS.get(operation, {f"{service}:{operation}"}):
            seen.add((action, name))

    def our_call(self: Calls, operation: str, site: Site, call: Call, take: Any) -> Any:
        asked = json.loads(call.content) if call.headers.get("x-amz-target") else {}  # type: ignore[arg-type]
        note(operation, asked, "sqs" if asked else "s3", site.place.path)
        return make(self, operation, site, call, take)

    def boto_call(self: Any, operation: str, asked: dict[str, Any]) -> Any:
        note(operation, asked, self.meta.service_model.service_name)
        return api_call(self, operation, asked)

    with monkeypatch.context() as patched:
        patched.setattr(Calls, "make", our_call)
        patched.setattr(BaseClient, "_make_api_call", boto_call)
        yield seen


def on_store(store: S3Store) -> dict[str, Callable[[], object]]:
    """Return a use of each method of a store, in which it makes all the calls that it ever does."""
    failure = Result(
        job=JOB, name="a", top=(), error=Failure("c", "m"), model="m", worker="w",
        submitted_at=NOW, started_at=NOW, finished_at=NOW, key="inbox/a.jpg",
    )  # fmt: skip
    key = f"{JOB.batch}/0001-a.jpg"
    for each in (key, "inbox/a.jpg"):
        store.put_image(each, b"...", "image/jpeg")
    return {
        "put_image": lambda: store.put_image(key, b"...", "image/jpeg"),
        "get_image": lambda: store.get_image(key, 100),
        "upload_form": lambda: store.upload_form(key, "image/jpeg", max_bytes=9, life_s=9),
        "image_key": lambda: store.image_key(JOB),
        "read_image": lambda: store.read_image(key, 0, 2),
        "put_result": lambda: (store.put_result(failure), store.put_result(failure)),
        "get_result": lambda: store.get_result(JOB),
        "dropped_key": lambda: store.dropped_key(JOB),
        "image_names": lambda: store.image_names(JOB.batch),
        "inbox_numbers": lambda: store.inbox_numbers(JOB.batch),
        "list_results": lambda: store.list_results(JOB.batch),
        "result_numbers": lambda: store.result_numbers(JOB.batch),
        "batches_from": lambda: store.batches_from(""),
        "is_deleted": lambda: store.is_deleted(JOB.batch),
        "read_note": lambda: store.read_note("notes/a"),
        "write_note": lambda: [store.write_note("notes/a", body) for body in (b"1", b"2")],
        "delete_note": lambda: store.delete_note("notes/a"),
        "note_keys": lambda: store.note_keys("notes/"),
        "ping": store.ping,
        "delete_batch": lambda: store.delete_batch(JOB.batch),
    }


def on_queue(queues: SqsQueues, name: str) -> dict[str, Callable[[], object]]:
    """Return a use of each method of a queue."""
    queue, tags = queues.open(name), {"a": "b"}
    return {
        "send": lambda: queue.send(["..."]),
        "receive": lambda: queue.receive(wait_s=0, visibility_s=0),
        "delete": lambda: queue.delete(["nothing"]),
        "change_visibility": lambda: queue.change_visibility(["nothing"], 0),
        "counts": queue.counts,
        "create": lambda: queues.create(name, retention_s=60, tags=tags),
        "tags": lambda: queues.tags(name),
        "tag": lambda: queues.tag(name, tags),
        "remove": lambda: queues.remove(name),
        "names": lambda: queues.names(name),
    }


def needed(tier: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Return the actions that a tier's calls are, each with the kind of what it is on."""
    settings = place.settings
    with place_as_aws(place, monkeypatch) as aws:
        store = S3Store(
            aws.s3(1), input_bucket=settings.input_bucket, results_bucket=settings.results_bucket
        )
        methods = on_store(store)
        with recorded(monkeypatch) as seen:
            for name in sorted(store_methods(tier), key=list(methods).index):
                methods[name]()
        for kind, name in sorted(queue_methods(tier)):
            queue = f"{settings.prefix}-{kind}"
            if kind == "replies":
                queue += f"-{name}"
                SqsQueues(aws.sqs(1)).create(queue, retention_s=60, tags={})
            with recorded(monkeypatch) as more:
                on_queue(SqsQueues(aws.sqs(1)), queue)[name]()
            seen |= more
    if "upload_form" in store_methods(tier):  # whoever uploads with it has the signer's rights
        seen.add(("s3:PutObject", settings.input_bucket))
    return {(action, kind_of(name, settings.prefix)) for action, name in seen}


@contextmanager
def place_as_aws(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Yield clients of the emulator, which is this process's AWS meanwhile."""
    with monkeypatch.context() as patched:
        for name, value in place.environment.items():
            if name.startswith("AWS_"):
                patched.setenv(name, value)
        yield Aws()


def kind_of(name: str, prefix: str) -> str:
    kind = name.removeprefix(f"{prefix}-")
    return "replies" if kind.startswith("replies-") else kind


def granted(role: str) -> set[tuple[str, str]]:
    """Return the actions on S3 and SQS that a role has, each with the kind of what it is on."""
    found = set()
    for statement in cloudformation.allowed(role):
        assert statement["Effect"] == "Allow"
        actions, where = statement["Action"], statement["Resource"]
        for action in [actions] if isinstance(actions, str) else actions:
            for resource in [where] if isinstance(where, str) else where:
                if action.startswith(("s3:", "sqs:")):
                    name = resource.rpartition(":")[2].partition("/")[0]
                    name = name.removesuffix(cloudformation.NAMES["BucketSuffix"])
                    found.add((action, kind_of(name, cloudformation.PREFIX)))
    return found


def test_the_workers_role_permits_what_workers_call_and_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert granted("WorkerRole") == needed("worker", place, monkeypatch)


def test_the_web_tiers_role_permits_what_it_calls_and_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert granted("WebRole") == needed("web", place, monkeypatch)


def test_the_scalers_role_permits_what_it_calls_and_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a note that is not there yet, S3 says so only to whom the bucket may be listed.
    notes = {("s3:ListBucket", "results")}

    assert granted("ScalerRole") == needed("scaler", place, monkeypatch) | notes


def test_the_web_host_itself_reaches_neither_buckets_nor_queues() -> None:
    assert granted("WebHostRole") == set()


@pytest.mark.parametrize("role", ["WebRole", "WorkerRole"])
def test_nobody_but_the_scaler_writes_its_notes(role: str) -> None:
    notes = objects("ScalerRole", "Allow", "s3:PutObject")

    assert all(any(fnmatch(key, note) for note in notes) for key in SCALERS_NOTES)
    assert not any(fnmatch(f"{JOB.batch}/0001.json", note) for note in notes)
    assert objects(role, "Deny", "s3:PutObject") >= notes
    assert notes == objects("ScalerRole", "Allow", "s3:GetObject")


SCALERS_NOTES = (FLEET_REPORT, launches.KEY, lease.KEY, purse.KEY)


def objects(role: str, effect: str, action: str) -> set[str]:
    """Return the keys that a role's statements about an action name."""
    return {
        resource.rpartition(":")[2].partition("/")[2]
        for statement in cloudformation.statements(role)
        if statement["Effect"] == effect and action in statement["Action"]
        for resource in statement["Resource"]
    }
