"""Tells how the system is on AWS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagefleet_core.aws import explained
from imagefleet_core.errors import DecodeError, QueueMissing
from imagefleet_core.fleet import FleetReport
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_core.s3 import S3Store
from imagefleet_core.sqs import SqsQueues
from imagefleet_scripts.deploy import machines
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.cli import parser, run
from imagefleet_scripts.deploy.stacks import Stack

HELP = """\
Tells how Imagefleet is on AWS: stacks, queues, instances, what the scaler decided last, alarms. It
only reads.
"""
DECISIONS = 5
_QUEUES = ("requests", "requests-dead", "telemetry")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run("status", parser("status", HELP).parse_args(arguments), status)


def status(account: Account, _options: argparse.Namespace) -> None:
    """Print all that there is to be told."""
    console = Console(highlight=False)
    for title, columns, rows in (
        ("stacks", ("stack", "status", "since"), _stacks(account)),
        ("queues", ("queue", "waiting", "in hand"), _queues(account)),
        ("instances", ("instance", "what", "state", "type", "zone", "age"), _machines(account)),
        ("decisions", ("at", "workers", "why"), _decisions(account)),
        ("alarms", ("alarm", "state", "since", "why"), _alarms(account)),
    ):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))  # text, whatever brackets are in it
        console.print(table)
        console.print("  none" if not table.row_count else "")


def _stacks(account: Account) -> Iterator[Sequence[str]]:
    for name in (account.data_stack, account.fleet_stack):
        stack = Stack(account.cloudformation, name, say=print)
        if found := stack.describe():
            tag = stack.parameters().get("ImageTag", "")
            at = found.get("LastUpdatedTime", found["CreationTime"])
            yield name + (f" ({tag})" if tag else ""), found["StackStatus"], _when(at)


def _queues(account: Account) -> Iterator[Sequence[str]]:
    queues = SqsQueues(account.aws.sqs(connections=1, polling=False))
    for name in _QUEUES:
        try:
            counts = queues.open(f"{account.prefix}-{name}").counts()
        except QueueMissing:
            continue
        waiting = counts.visible + counts.delayed
        yield f"{account.prefix}-{name}", f"{waiting:,}", f"{counts.in_flight:,}"


def _machines(account: Account) -> Iterator[Sequence[str]]:
    now = datetime.now(UTC)
    for what, tag in (("web host", machines.HOST_TAG), ("worker", machines.WORKER_TAG)):
        for each in machines.machines(account.ec2, tag, account.prefix):
            minutes = (now - each.launched_at).total_seconds() / 60
            yield each.id, what, each.state, each.type, each.zone, f"{minutes:,.0f} min"


def _decisions(account: Account) -> Iterator[Sequence[str]]:
    stack = Stack(account.cloudformation, account.data_stack, say=print)
    results = stack.outputs().get("ResultsBucket")
    if not results:
        return
    store = S3Store(account.aws.s3(connections=1), input_bucket="", results_bucket=results)
    note = store.read_note(FLEET_REPORT)
    if note is None:
        return
    try:
        report = FleetReport.decode(note.body)
    except DecodeError as error:
        yield "?", "?", f"{FLEET_REPORT} can't be read: {error}"
        return
    yield _when(report.at), f"{len(report.workers)} of {report.desired}", "the scaler's last report"
    for each in report.decisions[:DECISIONS]:
        yield _when(each.at), str(each.desired), each.why


def _alarms(account: Account) -> Iterator[Sequence[str]]:
    with explained("looking at the alarms"):
        pages = account.client("cloudwatch").get_paginator("describe_alarms")
        for page in pages.paginate(AlarmNamePrefix=f"{account.prefix}-"):
            for each in page["MetricAlarms"]:
                bad = each["StateValue"] == "ALARM"
                why = each.get("StateReason", "") if bad else ""
                yield (
                    each["AlarmName"],
                    each["StateValue"],
                    _when(each["StateUpdatedTimestamp"]),
                    why,
                )


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


if __name__ == "__main__":
    sys.exit(main())
