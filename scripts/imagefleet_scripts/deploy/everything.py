"""All of a deployment in one go: the stacks, the images, the release.

Each step looks what is there and leaves it alone, so doing all of it again goes on after whatever
broke it off.
"""

from __future__ import annotations

import argparse

from imagefleet_scripts.deploy import builds, push, release
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.cli import say
from imagefleet_scripts.deploy.wanted import Wanted, wanted


def everything(account: Account, options: argparse.Namespace) -> Wanted:
    """Bring an account to a working version, or tell the steps; return what it was brought to.

    Raises:
        Wrong: something is missing that only whoever deploys has, as a key; nothing was changed.
    """
    tag = options.image or push.commit("--image")
    released = wanted(account, options, tag)
    released.require_secrets()
    missing = release.missing_images(account, tag)
    registry = released.fleet.outputs().get("Registry")
    bare = None if registry else wanted(account, options, "")
    if options.plan:
        _show(bare, released, missing, tag)
        return released
    if missing:
        builds.require_builder()
    if bare:
        say("1 of 3: buckets, queues, network, roles, repositories")
        bare.apply()
    else:
        say("1 of 3: repositories are there")
    say(f"2 of 3: the images, as {tag}")
    push.push_version(account, tag)
    say(f"3 of 3: the web host and the workers, as {tag}")
    released.apply()
    return released


def _show(bare: Wanted | None, released: Wanted, missing: list[str], tag: str) -> None:
    if bare:
        say("1 of 3: buckets, queues, network, roles, repositories")
        bare.show()
    else:
        say("1 of 3: repositories are there")
    images = f"builds and pushes {', '.join(missing)}" if missing else "all images are there"
    say(f"2 of 3: {images}, as {tag}")
    say(f"3 of 3: the web host and the workers, as {tag}")
    if not bare:
        released.show()
