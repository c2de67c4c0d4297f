"""Puts images that failed back into the queue."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from imagefleet_core.aws import Aws
from imagefleet_core.errors import DecodeError, ImagefleetError
from imagefleet_core.jobs import JobId
from imagefleet_core.queues import BATCH, Queue
from imagefleet_core.settings import Settings, SettingsError, describe, load
from imagefleet_core.sqs import SqsQueues
from imagefleet_scripts.failed_images import CONNECTIONS, FailedImage, FailedImages

CRASHED = "worker_crashed"
# A long poll asks all of a queue's servers; after this without any message there is none.
WAIT_S = 2
VISIBILITY_S = 60
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

HELP = """\
Puts images that failed back into the queue, after what was wrong has been put right.

They come from two places: the dead-letter queue, as far as no web process has answered its
messages yet, and the results bucket. By default those are taken that ended their worker again and
again (worker_crashed) and were submitted within a day. An image keeps its job id, so a client finds
its new result where the old one was. Until then, and for good if it fails again, the old one stays.
With --batch or --code the dead-letter queue is left alone.

Doing this twice is harmless. It needs a worker's permissions, s3:ListBucket on both buckets, and
sqs:GetQueueUrl, SendMessage, ReceiveMessage and DeleteMessage on the queues.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = load(Settings, os.environ)
        redrive(settings, options)
    except SettingsError as error:
        print(f"scripts/redrive: {error}", file=sys.stderr)
        return 2
    except ImagefleetError as error:
        print(f"scripts/redrive: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("scripts/redrive: interrupted; nothing is lost, run it again", file=sys.stderr)
        return 130
    return 0


def redrive(settings: Settings, options: argparse.Namespace) -> None:
    """Put back what the options name; raises `ImagefleetError`."""
    aws = Aws()
    queues = SqsQueues(aws.sqs(connections=1))
    requests = queues.open(settings.requests_queue)
    requests.counts()  # or else the listing would have been in vain
    if options.batch is None and options.codes is None:
        letters(queues.open(settings.dead_letter_queue), requests, settings, dry=options.dry_run)
    failed = FailedImages(
        aws.s3(connections=CONNECTIONS),
        input_bucket=settings.input_bucket,
        results_bucket=settings.results_bucket,
    )
    images(failed, requests, settings, options)


def letters(dead: Queue, requests: Queue, settings: Settings, *, dry: bool) -> None:
    """Move what is in the dead-letter queue back; a message is deleted after it was sent."""
    if dry:
        print(f"{settings.dead_letter_queue}: would put back about {dead.counts().visible}")
        return
    sent: set[str] = set()
    while found := dead.receive(wait_s=WAIT_S, visibility_s=VISIBILITY_S):
        # One that is here again already has ended its workers again: no use in going on.
        fresh = [letter for letter in found if letter.body not in sent]
        if not fresh:
            break
        requests.send([letter.body for letter in fresh])
        dead.delete([letter.receipt for letter in fresh])
        sent.update(letter.body for letter in fresh)
    print(f"{settings.dead_letter_queue}: put back {len(sent)}")


def images(
    failed: FailedImages, requests: Queue, settings: Settings, options: argparse.Namespace
) -> None:
    """Ask again for the images whose result is a failure of the kind looked for."""
    codes = set(options.codes or [CRASHED])
    if options.batch:
        found = failed.of_batch(options.batch, codes)
    else:
        found = failed.since(options.since and datetime.now(UTC) - options.since, codes)
    matching = queued = 0
    while some := list(itertools.islice(found, BATCH)):
        matching += len(some)
        queued += _ask_again(some, requests, dry=options.dry_run)
    if options.batch and not failed.seen and not failed.knows(options.batch):
        raise ImagefleetError(f"there is no batch {options.batch}, or it was forgotten")
    for key in failed.unreadable:
        print(f"  {key}  can't be read")
    did = "would queue" if options.dry_run else "queued"
    of = f"{matching:,} with {' or '.join(sorted(codes))} among {failed.seen:,} results"
    print(f"{settings.results_bucket}: {did} {queued:,} of {of}")


def _ask_again(some: Sequence[FailedImage], requests: Queue, *, dry: bool) -> int:
    """Queue those of up to ten images that are still there, and tell; return how many."""
    again = [image.request for image in some if image.request]
    if again and not dry:
        requests.send([request.encode() for request in again])
    did = "would be queued" if dry else "queued"
    for image in some:
        said = did if image.request else "is not in the input bucket any more"
        print(f"  {image.result.job}  {image.result.name}  {said}")
    return len(again)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/redrive",
        description=HELP,
        epilog="Where it looks is up to AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, the credentials and\n"
        + describe(Settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--since",
        type=_age,
        default=timedelta(days=1),
        metavar="AGE",
        help="images submitted within 45s, 30m, 2h or 7d, or all; 1d unless given. "
        "Each of their results is read, some hundred a second",
    )
    which.add_argument(
        "--batch", type=_batch, metavar="ID", help="only this batch, whatever its age"
    )
    parser.add_argument(
        "--code",
        dest="codes",
        action="append",
        metavar="CODE",
        help=f"what they failed with, {CRASHED} unless given; once for each",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be put back")
    return parser


def _age(text: str) -> timedelta | None:
    if text == "all":
        return None
    match = re.fullmatch(r"(\d{1,4})([smhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an age as 30m, 2h or 7d, or all")
    return timedelta(seconds=int(match[1]) * UNITS_S[match[2]])


def _batch(text: str) -> str:
    try:
        return JobId.parse(f"{text}-0001").batch
    except DecodeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no batch id; a job id without its last number is one"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
