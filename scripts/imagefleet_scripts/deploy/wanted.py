"""Both stacks as they are to be, by what was asked for on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagefleet_scripts.deploy import release, template
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.changes import Change, known_parameters
from imagefleet_scripts.deploy.cli import Wrong, pairs, say
from imagefleet_scripts.deploy.settings import (
    idle_s,
    parsed,
    read_settings,
    require_hosts_own,
)
from imagefleet_scripts.deploy.stacks import Stack

_REPLACED = {"True": "  replaced", "Conditional": "  perhaps replaced"}


@dataclass(frozen=True)
class Wanted:
    """What the stacks are to be; nothing is changed before `apply`.

    Attributes:
        given: of each stack the parameters that are to be set; the others stay as they are.
        secrets: those that are to be stored, by their files' names.
    """

    account: Account
    data: Stack
    fleet: Stack
    bodies: Mapping[Stack, str]
    given: Mapping[Stack, Mapping[str, str]]
    secrets: Mapping[str, str]

    def value(self, name: str) -> str:
        """Return what a parameter of the machines is about to be, empty if nobody said it."""
        return self.given[self.fleet].get(name, self.fleet.parameters().get(name, ""))

    def require_secrets(self) -> None:
        """Return if the web host will find its keys and certificate; raises `Wrong`."""
        balanced = bool(self.value("CertificateArn"))
        settings = parsed(self.value("Settings"))
        release.require_secrets(self.account, settings, self.secrets, balanced=balanced)

    def show(self) -> None:
        """Print what would be changed, and change nothing."""
        for stack, body in self.bodies.items():
            _show(stack.name, stack.plan(body, self.given[stack]))

    def apply(self) -> None:
        """Store the secrets, then bring the stacks to it, buckets and queues first."""
        release.store_secrets(self.account, self.secrets)
        for stack, body in self.bodies.items():
            stack.apply(body, self.given[stack])


def wanted(account: Account, options: argparse.Namespace, tag: str) -> Wanted:
    """Return what the options ask for, to run a version.

    Args:
        tag: the version, empty for the one that runs, if any.

    Raises:
        Wrong: an option or a file is none.
    """
    data, fleet = (
        Stack(account.cloudformation, name, say=say)
        for name in (account.data_stack, account.fleet_stack)
    )
    bodies = {data: template.data(), fleet: template.fleet()}
    asked = pairs(options.parameter)
    known = {stack: known_parameters(body) for stack, body in bodies.items()}
    if unknown := set(asked) - set().union(*known.values()):
        names = sorted(set().union(*known.values()) - {"Prefix", "ImageTag", "Settings"})
        raise Wrong(f"no parameter {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    suffix = asked.get("BucketSuffix", data.parameters().get("BucketSuffix", account.usual_suffix))
    both = {**asked, "Prefix": account.prefix, "BucketSuffix": suffix}
    given = {
        stack: {name: value for name, value in both.items() if name in known[stack]}
        for stack in bodies
    }
    if tag:
        given[fleet]["ImageTag"] = tag
    if options.settings:
        given[fleet]["Settings"] = read_settings(options.settings)
    secrets = release.read_secrets(options.secrets) if options.secrets else {}
    found = Wanted(account, data, fleet, bodies, given, secrets)
    # Also of those that it has: a new host must not begin with what it can't keep.
    require_hosts_own(parsed(found.value("Settings")))
    if found.value("CertificateArn") and "BalancerIdleSeconds" not in asked:
        given[fleet]["BalancerIdleSeconds"] = str(idle_s(parsed(found.value("Settings"))))
    return found


def _show(name: str, changes: Sequence[Change]) -> None:
    say(f"{name}: {f'{len(changes)} changes' if changes else 'nothing to change'}")
    for each in changes:
        note = _REPLACED.get(each.replacement, "")
        say(f"  {each.action:<7} {each.resource:<24} {each.kind}{note}")
