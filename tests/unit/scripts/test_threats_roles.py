"""What somebody who broke into a tier may do with its role, as IAM reads the template."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from cloudformation import statements, substituted
from iam_policy import Asked, allowing
from imagefleet_core import keys
from imagefleet_core.jobs import JobId, new_batch_id

BATCH = new_batch_id()
NOTES = {
    "a claim on an idempotency key": keys.note_key("0" * 64),
    "a callback": keys.callback_key(BATCH),
    "a client's use": keys.usage_key("2026-01-31", "0" * 64),
    "what is known of answers": keys.answers_key(1, "p"),
    "the fleet's report": keys.FLEET_REPORT,
    "the scaler's lease": "scaler/lease",
}


def may(role: str, action: str, key: str) -> bool:
    """Whether a role may do something with an object in the results bucket."""
    bucket = next(
        resource.rpartition("/")[0]
        for each in statements(role)
        for resource in _listed(each["Resource"])
        if fnmatchcase(resource, "*:s3:::*results*/*")
    )
    return bool(allowing([{"Statement": statements(role)}], Asked(action, f"{bucket}/{key}")))


def _listed(resource: object) -> list[str]:
    return [str(each) for each in (resource if isinstance(resource, list) else [resource])]


def test_a_worker_writes_results_and_reads_them() -> None:
    assert may("WorkerRole", "s3:PutObject", keys.result_key(JobId(BATCH, 1)))
    assert may("WorkerRole", "s3:GetObject", keys.deletion_key(BATCH))


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
@pytest.mark.parametrize("key", NOTES.values(), ids=NOTES)
def test_a_broken_worker_can_neither_read_nor_forge_what_other_tiers_note(
    action: str, key: str
) -> None:
    assert not may("WorkerRole", action, key)


def test_a_broken_web_tier_can_forge_no_note_of_the_scaler() -> None:
    assert may("WebRole", "s3:PutObject", keys.callback_key(BATCH))
    for key in (keys.FLEET_REPORT, "scaler/lease"):
        assert not may("WebRole", "s3:PutObject", key)


def test_nobody_but_the_web_tier_queues_requests() -> None:
    queue = substituted("arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}")
    asked = Asked("sqs:SendMessage", f"{queue}-requests")

    may_queue = [
        role
        for role in ("WorkerRole", "WebRole", "ScalerRole", "WebHostRole")
        if allowing([{"Statement": list(of_sqs(role))}], asked)
    ]

    assert may_queue == ["WebRole"]


def of_sqs(role: str) -> Iterator[dict[str, Any]]:
    """Yield a role's statements about queues; what others are on is not all known before."""
    for each in statements(role):
        if any(action.startswith("sqs:") for action in _listed(each["Action"])):
            yield each
