"""Where things lie in the buckets, and the names that may be part of a key or a message."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from imagefleet_core.jobs import JobId

INBOX = "inbox/"
# Of its own, so that a rule of the bucket can forget what lies under it.
NOTES = "idempotency/"
MAX_NAME_BYTES = 200

# S3's "safe characters", less those that URLs or shells give a meaning.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_INPUT_KEY = re.compile(r"[^/]+/(\d{4,9})-(.+)", re.ASCII)
_RESULT_KEY = re.compile(r"[^/]+/(\d{4,9})\.json", re.ASCII)


def clean_name(name: str) -> str:
    """Return a file name as a person would read it: no folders, no control characters.

    At most `MAX_NAME_BYTES` of UTF-8, so that a message stays under 1 KiB.
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(char for char in name if unicodedata.category(char)[0] != "C").strip()
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix[:16]
    while len((stem + suffix).encode()) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return (stem + suffix) or "image"


def safe_name(name: str) -> str:
    """Return `name` in ASCII letters, digits, dots, dashes and underscores, for use in a key."""
    ascii_name = unicodedata.normalize("NFKD", clean_name(name)).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("-", ascii_name).strip("-.")[-100:] or "image"


def batch_prefix(batch: str) -> str:
    """Return the prefix of all the keys of one batch, in either bucket."""
    return f"{batch}/"


def input_key(job: JobId, name: str) -> str:
    """Return where an uploaded image lies: `<batch>/<number>-<safe file name>`."""
    return f"{input_key_prefix(job)}{safe_name(name)}"


def input_key_prefix(job: JobId) -> str:
    """Return what an uploaded image's key begins with, whatever the file's name."""
    return f"{batch_prefix(job.batch)}{job.number:04}-"


def result_key(job: JobId) -> str:
    """Return where a result lies: `<batch>/<number>.json`."""
    return f"{job.batch}/{job.number:04}.json"


def deletion_key(batch: str) -> str:
    """Return where the mark of a deleted batch lies, in the results bucket."""
    return f"{batch_prefix(batch)}deleted"


def note_key(digest: str) -> str:
    """Return where the note on an idempotency key lies, in the results bucket."""
    return f"{NOTES}{digest}"


def parse_input_key(key: str) -> tuple[int, str] | None:
    """Return the number and safe name in an input key, or None for any other key."""
    match = _INPUT_KEY.fullmatch(key)
    return (int(match[1]), match[2]) if match else None


def parse_result_key(key: str) -> int | None:
    """Return the number in a result key, or None for any other key."""
    match = _RESULT_KEY.fullmatch(key)
    return int(match[1]) if match else None
