"""Builds the images and pushes them to the system's repositories."""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.deploy import builds, next_step
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.cli import Wrong, parser, run, say
from imagefleet_scripts.deploy.release import missing_images
from imagefleet_scripts.deploy.stacks import Stack
from imagefleet_scripts.deploy.template import ROOT

HELP = """\
Builds the images and pushes them to the repositories that scripts/deploy made. A tag is pushed
once: images that are there already are left out. What follows -- goes to `docker buildx bake`, as
-- --set worker.target=torch. It needs Docker with buildx, and builds as the release on GitHub does
as far as its builder can; it says what was used. PYTHON_IMAGE, NGINX_IMAGE and ATTEST are those of
docker-bake.hcl.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run("push-images", _options(arguments), push)


def push(account: Account, options: argparse.Namespace) -> None:
    """Build and push what is missing of a version."""
    fleet = Stack(account.cloudformation, account.fleet_stack, say=say)
    _registry(account, fleet)  # before a commit is asked for
    tag = options.tag or commit("--tag")
    push_version(account, tag, options.bake)
    first = not fleet.parameters().get("ImageTag")
    say(f"next: {next_step.release(account, tag, first=first)}")


def push_version(account: Account, tag: str, options: Sequence[str] = ()) -> None:
    """Build and push what is missing of a version.

    Args:
        options: further ones of docker buildx bake.

    Raises:
        Wrong: there are no repositories yet.
        ImagefleetError: a program failed.
    """
    registry = _registry(account, Stack(account.cloudformation, account.fleet_stack, say=say))
    if not (missing := missing_images(account, tag)):
        say(f"all images are there as {tag}")
        return
    build(account, registry, tag, missing, options)


def build(
    account: Account, registry: str, tag: str, images: Sequence[str], options: Sequence[str]
) -> None:
    """Build images and push them; raises `ImagefleetError`."""
    builds.require_builder()
    _log_in(account, registry)
    say(f"building and pushing {', '.join(images)} as {tag}")
    how = builds.build_for(registry)
    for each in how.said:
        say(f"  {each}")
    bake = ["docker", "buildx", "bake", "--file", "docker-bake.hcl"]
    bake += ["--set", "*.platform=linux/amd64", *how.options]
    revision = _output("git", "rev-parse", "HEAD")
    env = {**how.environ, "REGISTRY": registry, "VERSION": tag, "REVISION": revision}
    _call([*bake, *options, *images], env=env)


def _registry(account: Account, fleet: Stack) -> str:
    """Return where images are pushed to; raises `Wrong` if that isn't there yet."""
    if registry := fleet.outputs().get("Registry"):
        return registry
    first = next_step.command(account, "deploy")
    raise Wrong(f"there is no stack {account.fleet_stack} yet: run {first} first")


def _log_in(account: Account, registry: str) -> None:
    (found,) = account.client("ecr").get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    host = registry.partition("/")[0]
    _call(["docker", "login", "--username", user, "--password-stdin", host], stdin=password)


def commit(option: str) -> str:
    """Return the short id of the commit, which is all that is built; raises `Wrong`.

    Args:
        option: the one that names a version otherwise.
    """
    if _output("git", "status", "--porcelain"):
        raise Wrong(f"there are changes that no commit has: commit them, or name them by {option}")
    return _output("git", "rev-parse", "--short=12", "HEAD")


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Wrong(
            f"`{' '.join(command)}` did not work here: images are built from a clone of the "
            "repository, by git"
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
