"""The table and the policy in docs/operations.md name the calls that the EC2 provider makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ec2_account
from ec2_account import IMAGE, Account
from imagefleet_scaler.providers.ec2 import tags

SECTION = (
    (Path(__file__).parents[3] / "docs/operations.md")
    .read_text()
    .partition("## What the scaler may do")[2]
    .partition("\n## ")[0]
)
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in SECTION.splitlines()
    if line.startswith(("| `ec2:", "| `iam:"))
]
POLICY: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)[0])


@contextmanager
def recorded(account: Account) -> Iterator[set[str]]:
    """Collect the calls that any provider makes."""
    calls: set[str] = set()

    def note(model: Any, **_: Any) -> None:
        calls.add(model.name)

    events = account.client().meta.events
    events.register("before-call.ec2", note)
    try:
        yield calls
    finally:
        events.unregister("before-call.ec2", note)


@pytest.fixture
def account() -> Iterator[Account]:
    _, clocks = ec2_account.stopped_clock()
    with ec2_account.on_moto(**clocks) as made:
        yield made


def live(account: Account, *, by_run: bool) -> None:
    """Do all that a scaler ever does."""
    provider = account.open(warm_pool=1, spot_percent=50, by_run=by_run, image_id=IMAGE)
    provider.sweep()
    workers = provider.launch(4)
    provider.list()
    provider.last_words(workers[:1])
    provider.list()
    provider.retire(workers)
    provider.sweep()
    provider.launch(2)
    account.open(warm_pool=0, by_run=by_run, image_id=IMAGE).sweep()


def test_the_table_has_each_call_of_a_full_life_and_no_other(account: Account) -> None:
    with recorded(account) as calls:
        live(account, by_run=False)
        live(account, by_run=True)

    assert calls == {call for _, call, *_ in ROWS if call}
    assert all(action == f"ec2:{call}" for action, call, *_ in ROWS if call)


def test_a_dry_run_makes_only_the_calls_marked_so(account: Account) -> None:
    account.open().launch(2)

    with recorded(account) as calls:
        account.open(warm_pool=1).list()

    assert calls == {call for _, call, *_, dry in ROWS if dry == "yes"}


def test_the_policy_allows_what_the_table_lists() -> None:
    allowed = {
        action
        for statement in POLICY["Statement"]
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }

    assert allowed == {action for action, *_ in ROWS}


def test_what_ends_or_launches_instances_is_bound_to_our_tag() -> None:
    conditions = [
        (statement["Sid"], key)
        for statement in POLICY["Statement"]
        for key in statement.get("Condition", {}).get("StringEquals", {})
        if "Tag" in key
    ]

    assert conditions == [
        ("LaunchWithOurTag", f"aws:RequestTag/{tags.FLEET}"),
        ("AskForFleetsWithOurTag", f"aws:RequestTag/{tags.FLEET}"),
        ("LaunchOurTypes", f"aws:RequestTag/{tags.FLEET}"),
        ("OurInstances", f"aws:ResourceTag/{tags.FLEET}"),
    ]
