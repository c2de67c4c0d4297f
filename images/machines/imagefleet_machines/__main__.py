"""The machines' entry point: keeps them, prepares an account for them, or interrupts one."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import boto3
import docker
import structlog
from docker.errors import DockerException

from imagefleet_core import logs
from imagefleet_core.aws import Aws
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.settings import SettingsError, describe, load
from imagefleet_machines import setup
from imagefleet_machines.container import MachineSpec
from imagefleet_machines.docker_host import ENGINE_TIMEOUT_S, DockerHost
from imagefleet_machines.host import Host
from imagefleet_machines.imds.credentials import RoleCredentials
from imagefleet_machines.imds.metadata import Metadata
from imagefleet_machines.imds.server import MetadataServer
from imagefleet_machines.keeper import Keeper
from imagefleet_machines.notices import Notices
from imagefleet_machines.records import Ec2Records
from imagefleet_machines.settings import MachinesSettings

NOTICES = Path("/tmp/notices")  # noqa: S108  # a tmpfs of this container alone
# Machines about which something is done at once; a shutdown takes a while, and waits.
AT_ONCE = 16

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; return the exit status."""
    options = _options(arguments)
    try:
        settings = load(MachinesSettings, os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure("machines", level=settings.log_level, format=settings.log_format)
    try:
        match options.command:
            case "interrupt":
                return _interrupt(settings, options.instance, options.after)
            case "push":
                return _push(settings, options.image)
            case "setup":
                return _setup(settings, options)
        return _run(settings)
    except (ImagefleetError, ValueError) as error:
        print(f"imagefleet-machines: {error}", file=sys.stderr)
        return 1


def _run(settings: MachinesSettings) -> int:
    """Keep the machines until SIGTERM or Ctrl-C; they go on then."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    records = Ec2Records(Aws().ec2(), settings.prefix, settings.template)
    host = DockerHost(_engine(settings), _spec(settings))
    notices = Notices(NOTICES)
    with ThreadPoolExecutor(AT_ONCE) as workers:
        keeper = Keeper(
            records,
            host,
            images=settings.images,
            notices=notices,
            workers=workers,
            stop_s=settings.machine_stop_s,
        )
        credentials = RoleCredentials(boto3.client("iam"), boto3.client("sts"))
        server = MetadataServer(
            Metadata(keeper.record, records, credentials, notices),
            partial(_whose, host),
            host=settings.metadata_host,
            port=settings.metadata_port,
        )
        with server.running():
            log.info("the machines are kept", images=settings.images)
            while not stopping.is_set():
                keeper.turn()
                stopping.wait(settings.look_s)
    return 0


def _whose(host: Host, address: str) -> str | None:
    """Return the machine at an address. Asked anew each time, as addresses are used again."""
    return next((each.id for each in host.list() if each.address == address), None)


def _push(settings: MachinesSettings, image: str) -> int:
    tag = image.rpartition(":")[2]
    # As infra/fleet.yaml names the worker's repository.
    repository = f"{settings.registry}/{settings.prefix}/imagefleet-worker"
    setup.push(_engine(settings), image, repository, tag, partial(print, flush=True))
    return 0


def _setup(settings: MachinesSettings, options: argparse.Namespace) -> int:
    setup.account(
        Aws().cloudformation(),
        boto3.client("ssm"),
        prefix=settings.prefix,
        debian_ami=options.debian_ami,
        parameters=dict(pair.split("=", 1) for pair in options.parameter),
        say=partial(print, flush=True),
    )
    return 0


def _interrupt(settings: MachinesSettings, instance: str, after_s: float | None) -> int:
    at = Notices(NOTICES).give(instance, settings.spot_notice_s if after_s is None else after_s)
    print(f"{instance} is interrupted at {at:%H:%M:%S} UTC")
    return 0


def _spec(settings: MachinesSettings) -> MachineSpec:
    return MachineSpec(
        network=settings.machine_network,
        metadata_network=settings.metadata_network,
        compose_project=settings.docker_compose_project,
        docker_socket=settings.docker_socket,
        registry=settings.registry,
        worker_memory_mb=settings.worker_memory_mb,
    )


def _engine(settings: MachinesSettings) -> docker.DockerClient:
    try:
        return docker.from_env(
            timeout=ENGINE_TIMEOUT_S + settings.machine_stop_s, max_pool_size=AT_ONCE + 4
        )
    except DockerException as error:
        raise ImagefleetError(f"no Docker engine answers at its socket: {error}") from error


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="imagefleet-machines",
        description="EC2 on a laptop: makes containers match the instances of an emulator.",
        epilog=describe(MachinesSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="keep the machines; what is done unless told otherwise")
    interrupt = commands.add_parser("interrupt", help="interrupt one as a spot instance")
    interrupt.add_argument("instance", help="its id, as i-0123456789abcdef0")
    interrupt.add_argument(
        "--after", type=float, metavar="SECONDS", help="after its notice, IMAGEFLEET_SPOT_NOTICE_S"
    )
    pusher = commands.add_parser("push", help="put the worker's image into the registry")
    pusher.add_argument("image", help="of the engine, as imagefleet-worker:latest")
    prepare = commands.add_parser("setup", help="apply the templates")
    prepare.add_argument("--debian-ami", required=True, help="what Debian's machine image is")
    prepare.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of infra/fleet.yaml; give it once for each",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
