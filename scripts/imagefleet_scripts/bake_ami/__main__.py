"""Bakes a machine image for workers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import explain
from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.bake_ami import images, machine, userdata
from imagefleet_scripts.deploy import next_step
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.cli import Wrong, parser, run, say
from imagefleet_scripts.deploy.release import has_image
from imagefleet_scripts.deploy.stacks import Stack

HELP = """\
Bakes a machine image with Docker and the worker's image in it, from Debian's own: workers that are
launched from it install and pull nothing. It launches one instance in the workers' network, which
provisions itself and powers off, makes an image of it, and terminates it, whatever happens. Older
images go, but for the one in use.
"""
# GiB: Debian, packages and the worker's image; with NVIDIA's driver and PyTorch. No more than the
# disks of workers that infra/fleet.yaml gives.
DISK_GIB, GPU_DISK_GIB = 8, 32
BASE_PARAMETER = "/aws/service/debian/release/13/latest/amd64"


@dataclass(frozen=True, slots=True)
class Found:
    """What the stack says of the workers' surroundings.

    Attributes:
        used: the image that workers are launched from now, if it isn't Debian's.
    """

    recipe: machine.Recipe
    version: str
    used: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run("bake-ami", _options(arguments), bake)


def bake(account: Account, options: argparse.Namespace) -> None:
    """Bake an image, or tell what would be done."""
    if options.keep < 1:
        raise Wrong("--keep: expected 1 or more")
    found = _found(account, options)
    recipe, ec2 = found.recipe, account.ec2
    if options.plan:
        _plan(account, found, options.keep)
        return
    if left := machine.left_behind(ec2, account.prefix):
        say(f"terminating what an earlier bake left: {', '.join(left)}")
        ec2.terminate_instances(InstanceIds=left)
    with machine.launched(ec2, recipe, say) as instance:
        machine.finished(ec2, instance, recipe.mark, say)
        image = images.make(
            ec2,
            instance,
            prefix=account.prefix,
            version=found.version,
            base=recipe.base,
            say=say,
        )
    _tidy(account, {found.used, image}, options.keep)
    say()
    say(f"next: {next_step.command(account, 'deploy', '--parameter', f'WorkerAmi={image}')}")


def _found(account: Account, options: argparse.Namespace) -> Found:
    """Return what to launch, where, and with which version; raises `Wrong` for what is missing."""
    stack = Stack(account.cloudformation, account.fleet_stack, say=say)
    outputs, parameters = stack.outputs(), stack.parameters()
    if "Registry" not in outputs:
        first = next_step.command(account, "deploy")
        raise Wrong(f"there is no stack {account.fleet_stack} yet: run {first} first")
    version = options.image or parameters.get("ImageTag", "")
    if not version:
        raise Wrong("no version runs yet: name one that ./scripts/push-images pushed with --image")
    if not has_image(account, "worker", version):
        push = next_step.command(account, "push-images", "--tag", version)
        raise Wrong(f"there is no image {version} of worker in ECR: {push}")
    mark = machine.new_mark()
    recipe = machine.Recipe(
        prefix=account.prefix,
        base=options.base or _debian(account, parameters.get("DebianAmi", BASE_PARAMETER)),
        kind=options.type,
        subnets=outputs["WorkerSubnets"].split(","),
        group=outputs["WorkerSecurityGroup"],
        profile=stack.resource("WorkerProfile"),
        disk_gib=GPU_DISK_GIB if options.gpu else DISK_GIB,
        user_data=userdata.of(
            mark,
            f"{outputs['Registry']}imagefleet-worker:{version}",
            gpu=options.gpu,
            apt_source=options.apt_source,
        ),
        mark=mark,
    )
    return Found(recipe, version, parameters.get("WorkerAmi", ""))


def _debian(account: Account, parameter: str) -> str:
    """Return the image that a parameter names; emulators' stacks tell the image itself."""
    if parameter.startswith("ami-"):
        return parameter
    ssm = account.client("ssm")
    try:
        return str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound as error:
        raise Wrong(f"there is no SSM parameter {parameter}: name an image with --base") from error


def _plan(account: Account, found: Found, keep: int) -> None:
    recipe = found.recipe
    say(
        f"  launch   {recipe.kind} from {recipe.base} in {recipe.subnets[0]}, {recipe.disk_gib} GiB"
    )
    say(f"  pull     {account.repository('worker')}:{found.version}")
    say("  make     an image of it, and terminate it")
    for each in images.superfluous(
        images.baked(account.ec2, account.prefix), keep - 1, {found.used}
    ):
        say(f"  remove   {each.id} ({each.version}, {each.made})")


def _tidy(account: Account, used: set[str], keep: int) -> None:
    """Remove older images; that it fails takes nothing from the one that was made."""
    try:
        for each in images.superfluous(images.baked(account.ec2, account.prefix), keep, used):
            images.remove(account.ec2, each, say)
        images.remove_orphans(account.ec2, account.prefix, say)
    except (ClientError, BotoCoreError) as error:
        say(f"older images are left: {explain(error)}")
    except ImagefleetError as error:
        say(f"older images are left: {error}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = parser("bake-ami", HELP)
    made.add_argument(
        "--image",
        default="",
        metavar="TAG",
        help="the worker's version (default: the one that runs)",
    )
    made.add_argument(
        "--base", default="", metavar="AMI", help="a Debian 13 to begin with (default: the stack's)"
    )
    made.add_argument(
        "--type", default="t3.medium", help="what to bake on, x86-64 (default: %(default)s)"
    )
    made.add_argument(
        "--gpu", action="store_true", help="with NVIDIA's driver and container toolkit"
    )
    made.add_argument(
        "--apt-source",
        type=Path,
        metavar="FILE",
        help="an apt source that has nvidia-container-toolkit, for --gpu",
    )
    made.add_argument(
        "--keep", type=int, default=3, metavar="N", help="images to keep (default: %(default)s)"
    )
    made.add_argument("--plan", action="store_true", help="only tell what would be done")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
