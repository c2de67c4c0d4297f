"""Entry point of the web tier: `python -m imagefleet_web`."""

from __future__ import annotations

import argparse
import os
import resource
import sys

import structlog
from flask import Flask

from imagefleet_core import logs, settings
from imagefleet_core.aws import Aws
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.s3 import S3Store
from imagefleet_core.settings import SettingsError
from imagefleet_core.sqs import SqsQueues
from imagefleet_web.app import create_app
from imagefleet_web.serving import threads
from imagefleet_web.serving.server import IDLE_CONNECTIONS, Server, listen
from imagefleet_web.settings import WebSettings
from imagefleet_web.uploads import spool

log = structlog.get_logger()

# Beside the pool: the looks, the upkeep, the undoing, a readiness check...
OWN_CONNECTIONS = 4
# ...and those who wait for replies and dead letters.
POLLS = 2
# With time-outs as short as a client's patience needs them; SDKs try as often unless told.
AWS_ATTEMPTS = 3


def main() -> int:
    """Serve until stopped; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="imagefleet-web",
        description="Takes uploads, stores and queues them, and tells their results.",
        epilog=settings.describe(WebSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    try:
        config = settings.load(WebSettings, os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure("web", level=config.log_level, format=config.log_format)
    try:
        listener = listen(config.host, config.port)
        connect(config)  # tells of a mistake before a process is forked for it
        if config.spool_dir:
            spool.require_folder(config.spool_dir)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        return give_up(f"cannot listen at {config.host}:{config.port}: {reason}")
    except ImagefleetError as error:
        return give_up(str(error))
    allow_open_files(2 * threads.in_all(config) + IDLE_CONNECTIONS)
    Server(config, listener, lambda: connect(config)).run()
    return 0


def give_up(reason: str) -> int:
    """Say why there is nothing to serve; return the exit status for that."""
    log.error("cannot start", reason=reason)
    return 1


def connect(config: WebSettings) -> Flask:
    """Return the app over AWS, or whatever `AWS_ENDPOINT_URL` names; makes no call yet."""
    aws = Aws(attempts=AWS_ATTEMPTS, silent_s=config.aws_timeout_s)
    connections = config.aws_connections + OWN_CONNECTIONS
    store = S3Store(
        aws.s3(connections),
        input_bucket=config.input_bucket,
        results_bucket=config.results_bucket,
    )
    queues = SqsQueues(aws.sqs(connections, polling=False), polling=aws.sqs(POLLS))
    return create_app(config, store, queues)


def allow_open_files(needed: int) -> None:
    """Raise this process's limit: each connection and each upload is an open file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most != resource.RLIM_INFINITY and most < needed:
        log.warning("few open files are allowed; raise `ulimit -Hn`", allowed=most, needed=needed)


if __name__ == "__main__":
    sys.exit(main())
