"""Builds the images and pushes them to the system's repositories."""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.deploy.account import IMAGES, Account
from imagefleet_scripts.deploy.cli import Wrong, parser, run, say
from imagefleet_scripts.deploy.release import has_image
from imagefleet_scripts.deploy.stacks import Stack
from imagefleet_scripts.deploy.template import ROOT

HELP = """\
Builds the images and pushes them to the repositories that scripts/deploy made. A tag is pushed
once: images that are there already are left out. What follows -- goes to `docker buildx bake`, as
-- --set worker.target=torch. It needs Docker with buildx.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run("push-images", _options(arguments), push)


def push(account: Account, options: argparse.Namespace) -> None:
    """Build and push what is missing of a version."""
    registry = Stack(account.cloudformation, account.fleet_stack, say=say).outputs().get("Registry")
    if not registry:
        raise Wrong(f"there is no stack {account.fleet_stack} yet: run ./scripts/deploy first")
    tag = options.tag or _commit()
    missing = [image for image in IMAGES if not has_image(account, image, tag)]
    if missing:
        _log_in(account, registry)
        say(f"building and pushing {', '.join(missing)} as {tag}")
        bake = ["docker", "buildx", "bake", "--push", "--set", "*.platform=linux/amd64"]
        env = {
            "REGISTRY": registry,
            "VERSION": tag,
            "REVISION": _output("git", "rev-parse", "HEAD"),
        }
        _call([*bake, *options.bake, *missing], env=env)
    else:
        say(f"all images are there as {tag}")
    say(f"next: ./scripts/deploy --image {tag}")


def _log_in(account: Account, registry: str) -> None:
    (found,) = account.client("ecr").get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    host = registry.partition("/")[0]
    _call(["docker", "login", "--username", user, "--password-stdin", host], stdin=password)


def _commit() -> str:
    """Return the short id of the commit, which is all that is built; raises `Wrong`."""
    if _output("git", "status", "--porcelain"):
        raise Wrong("there are changes that no commit has: commit them, or name them with --tag")
    return _output("git", "rev-parse", "--short=12", "HEAD")


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Wrong(
            f"`{' '.join(command)}` did not work here: name a version with --tag"
        ) from error
    return done.stdout.strip()


def _call(command: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: str = "") -> None:
    """Run a program to its end, with its output on ours; raises `ImagefleetError`."""
    name = " ".join(command[:3])
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            input=stdin,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ImagefleetError(f"{command[0]} can't be run: {error.strerror}") from error
    if done.returncode:
        raise ImagefleetError(
            f"`{name}` failed with status {done.returncode}; its reason stands above"
        )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = parser("push-images", HELP)
    made.add_argument("--tag", default="", help="the version's name (default: the commit's id)")
    made.add_argument("bake", nargs="*", metavar="-- OPTION", help="options of docker buildx bake")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
