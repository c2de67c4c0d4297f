"""What is told at the end of a command: above all the next one, of the same system."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from imagefleet_scripts.deploy.cli import say

if TYPE_CHECKING:
    from imagefleet_scripts.deploy.account import Account
    from imagefleet_scripts.deploy.stacks import Stack


def command(account: Account, script: str, *arguments: str) -> str:
    """Return a command line of ours, with the options that say which system it is about."""
    return " ".join([f"./scripts/{script}", *map(shlex.quote, [*account.options, *arguments])])


def release(account: Account, tag: str, *, first: bool) -> str:
    """Return the command that releases a version; the first brings keys and certificate with it."""
    return command(account, "deploy", "--image", tag, *(["--secrets", "DIR"] if first else []))


def tell(account: Account, fleet: Stack, *, secrets_given: bool) -> None:
    """Print the outputs of the machines' stack, and what is to be done next."""
    outputs, parameters = fleet.outputs(), fleet.parameters()
    say()
    for name, value in outputs.items():
        say(f"  {name:<20} {value}")
    say()
    if not parameters.get("AlarmEmail"):
        how = command(account, "deploy", "--parameter", "AlarmEmail=you@example.com")
        say(f"alarms reach nobody yet: {how} (and of money: --parameter MonthlyBudgetUsd=50)")
    if not parameters.get("ImageTag"):
        then = release(account, "TAG", first=not secrets_given)
        say(f"next: {command(account, 'push-images')}, then {then}")
        return
    if address := outputs.get("Balancer") or outputs.get("Address"):
        say(f"let the name that clients use lead to {address}")
    say(f"next: {command(account, 'status')}")
