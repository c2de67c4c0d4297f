"""Deploys Imagefleet to AWS, or changes what is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from imagefleet_scripts.deploy import next_step, release
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.cli import parser, run
from imagefleet_scripts.deploy.everything import everything
from imagefleet_scripts.deploy.wanted import Wanted, wanted

HELP = """\
Deploys Imagefleet to AWS, or changes what is there. Doing it twice changes nothing.

  ./scripts/deploy --all --secrets DIR              from an empty account to a working service
or step by step
  ./scripts/deploy                                  buckets, queues, network, roles, repositories
  ./scripts/push-images                             builds the images and pushes them
  ./scripts/deploy --image TAG --secrets DIR        the web host and the workers, of that version

What isn't given stays as it is: so --image alone is an upgrade, and a rollback with an older TAG.
--all is an upgrade, too, to the commit that lies here; broken off, do it again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run("deploy", _options(arguments), deploy)


def deploy(account: Account, options: argparse.Namespace) -> None:
    """Bring both stacks to what was asked for, or tell what that would change."""
    found = everything(account, options) if options.all else _stacks(account, options)
    if not options.plan:
        next_step.tell(account, found.fleet, secrets_given=bool(found.secrets))


def _stacks(account: Account, options: argparse.Namespace) -> Wanted:
    found = wanted(account, options, options.image or "")
    if options.image:
        release.require_images(account, options.image)
    if found.value("ImageTag"):
        found.require_secrets()
    if options.plan:
        found.show()
    else:
        found.apply()
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = parser("deploy", HELP)
    made.add_argument(
        "--all",
        action="store_true",
        help="also build and push the images before; TAG is the commit's id unless --image says it",
    )
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
