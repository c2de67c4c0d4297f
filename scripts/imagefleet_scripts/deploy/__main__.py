"""Deploys Imagefleet to AWS, or changes what is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagefleet_scripts.deploy import release, template
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.changes import Change, known_parameters
from imagefleet_scripts.deploy.cli import Wrong, pairs, parser, run, say
from imagefleet_scripts.deploy.settings import idle_s, parsed, read_settings
from imagefleet_scripts.deploy.stacks import Stack

HELP = """\
Deploys Imagefleet to AWS, or changes what is there. Doing it twice changes nothing.

  ./scripts/deploy                                  buckets, queues, network, roles, repositories
  ./scripts/push-images                             builds the images and pushes them
  ./scripts/deploy --image TAG --secrets DIR        the web host and the workers, of that version

What isn't given stays as it is: so --image alone is an upgrade, and a rollback with an older TAG.
"""
_REPLACED = {"True": "  replaced", "Conditional": "  perhaps replaced"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run("deploy", _options(arguments), deploy)


def deploy(account: Account, options: argparse.Namespace) -> None:
    """Bring both stacks to what was asked for, or tell what that would change."""
    data, fleet = (
        Stack(account.cloudformation, name, say=say)
        for name in (account.data_stack, account.fleet_stack)
    )
    bodies = {data: template.data(), fleet: template.fleet()}
    given = _given(account, options, data, fleet, bodies)
    secrets = release.read_secrets(options.secrets) if options.secrets else {}
    tag = given[fleet].get("ImageTag", fleet.parameters().get("ImageTag", ""))
    if options.image:
        release.require_images(account, options.image)
    if tag:
        balanced = bool(_value(fleet, given, "CertificateArn"))
        settings = parsed(_value(fleet, given, "Settings"))
        release.require_secrets(account, settings, secrets, balanced=balanced)
    if options.plan:
        for stack, body in bodies.items():
            _show(stack.name, stack.plan(body, given[stack]))
        return
    release.store_secrets(account, secrets)
    for stack, body in bodies.items():
        stack.apply(body, given[stack])
    _tell(account, fleet, tag)


def _given(
    account: Account,
    options: argparse.Namespace,
    data: Stack,
    fleet: Stack,
    bodies: Mapping[Stack, str],
) -> dict[Stack, dict[str, str]]:
    """Return the parameters of each stack that are to be set; raises `Wrong`."""
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
    if options.image:
        given[fleet]["ImageTag"] = options.image
    if options.settings:
        given[fleet]["Settings"] = read_settings(options.settings)
    if _value(fleet, given, "CertificateArn") and "BalancerIdleSeconds" not in asked:
        settings = parsed(_value(fleet, given, "Settings"))
        given[fleet]["BalancerIdleSeconds"] = str(idle_s(settings))
    return given


def _value(stack: Stack, given: Mapping[Stack, Mapping[str, str]], name: str) -> str:
    """Return what a parameter is about to be, empty if neither given nor known to the stack."""
    return given[stack].get(name, stack.parameters().get(name, ""))


def _show(name: str, changes: Sequence[Change]) -> None:
    say(f"{name}: {f'{len(changes)} changes' if changes else 'nothing to change'}")
    for each in changes:
        note = _REPLACED.get(each.replacement, "")
        say(f"  {each.action:<7} {each.resource:<24} {each.kind}{note}")


def _tell(account: Account, fleet: Stack, tag: str) -> None:
    """Print the outputs, and what is to be done next."""
    outputs = fleet.outputs()
    say()
    for name, value in outputs.items():
        say(f"  {name:<20} {value}")
    say()
    if not tag:
        say("next: ./scripts/push-images, then ./scripts/deploy --image TAG --secrets DIR")
    else:
        if address := outputs.get("Balancer") or outputs.get("Address"):
            say(f"let the name that clients use lead to {address}")
        other = "" if account.prefix == "imagefleet" else f" --prefix {account.prefix}"
        say(f"next: ./scripts/status{other}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = parser("deploy", HELP)
    made.add_argument("--image", metavar="TAG", help="the version to run, which push-images pushed")
    made.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings of all tiers, as compose/production.env.example explains them",
    )
    made.add_argument(
        "--secrets",
        type=Path,
        metavar="DIR",
        help=f"folder of {', '.join(release.SECRETS)}, as far as they are new; they go into SSM, "
        "encrypted",
    )
    made.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of infra/data.yaml or infra/fleet.yaml; once for each",
    )
    made.add_argument(
        "--plan", action="store_true", help="only tell what would be changed, resource by resource"
    )
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
