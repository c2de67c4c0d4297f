"""Where things lie in the buckets, and the names that may be part of a key or a message."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from imagefleet_core.jobs import JobId

INBOX = "inbox/"
# Of its own, so that a rule of the bucket can forget what lies under it.
NOTES = "idempotency/"
# What the scaler tells of the fleet, in the results bucket.
FLEET_REPORT = "fleet/state.json"
# Callbacks that are to be sent, and what clients used of their quotas; each with its own rule, too.
CALLBACKS = "callbacks/"
USAGE = "usage/"
# Which jobs had the answers to which images.
ANSWERS = "answers/"
MAX_NAME_BYTES = 200
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_KEY_BYTES = 1024

# What most names are like: nothing of them needs cleaning, and to see that takes a tenth of it.
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}\.[A-Za-z0-9]{1,10}")
# S3's "safe characters", less those that URLs or shells give a meaning.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# ASCII that URLs, shells or forms give a meaning, as S3 does to "${…}" in a form's fields.
_UNSAFE_IN_FORM = re.compile(r"[^A-Za-z0-9 ._\x80-\U0010ffff-]+")
_INPUT_KEY = re.compile(r"(?:inbox/)?[^/]+/(\d{4,9})-([^/]+)", re.ASCII)
# A UUIDv7 (RFC 9562, section 5.7) and a number from 1, each as we write them.
_INBOX_KEY = re.compile(
    r"inbox/([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
    r"/((?!0000)\d{4})-([^/]+)",
    re.ASCII,
)
# Segments that mean folders in a path, and what XML can't hold.
_AMBIGUOUS = re.compile(r"(?:^|/)\.\.?(?:/|\Z)|[\x00-\x1f\x7f]")
_RESULT_KEY = re.compile(r"[^/]+/(\d{4,9})\.json", re.ASCII)


def clean_name(name: str) -> str:
    """Return a file name as a person would read it: no folders, no control characters.

    At most `MAX_NAME_BYTES` of UTF-8, so that a message stays under 1 KiB.
    """
    if _PLAIN.fullmatch(name):
        return name
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(char for char in name if not _is_control(char)).strip()
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix[:16]
    while len((stem + suffix).encode()) > MAX_NAME_BYTES:
        stem = stem[:-1]
    cleaned = stem + suffix
    return "image" if cleaned in {"", ".", ".."} else cleaned


def _is_control(char: str) -> bool:
    """Return whether a character is none to see, or ends a line for some readers (U+2028)."""
    category = unicodedata.category(char)
    return category[0] == "C" or category in {"Zl", "Zp"}


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


def inbox_prefix(batch: str) -> str:
    """Return the prefix of the images of one batch that clients upload to the bucket themselves."""
    return f"{INBOX}{batch}/"


def inbox_key(job: JobId, name: str) -> str:
    """Return where an image lies that a client uploads itself: `inbox/<batch>/<number>-<name>`.

    S3 tells a worker this key and nothing else of it, so the name stays as whole as it may.
    """
    return f"{inbox_key_prefix(job)}{form_name(name)}"


def inbox_key_prefix(job: JobId) -> str:
    """Return what such an image's key begins with, whatever the file's name."""
    return f"{inbox_prefix(job.batch)}{job.number:04}-"


def dropped_key(key: str) -> str | None:
    """Return `key` if it is of an image that came to the inbox without a form, else None.

    What a result names is held against this before it is read or deleted, as a result may be
    forged: no key outside the inbox passes, none that is another job's, and none that some way to
    S3 might read as another one.
    """
    if not key.startswith(INBOX) or parse_inbox_key(key) or len(key.encode()) > MAX_KEY_BYTES:
        return None
    return None if _AMBIGUOUS.search(key) else key


def form_name(name: str) -> str:
    """Return `name` without what is special in ASCII; letters of any script stay."""
    return _UNSAFE_IN_FORM.sub("-", clean_name(name)).strip() or "image"


def awaited_key(batch: str) -> str:
    """Return where it is noted, in the results bucket, what clients are to upload of a batch."""
    return f"{batch_prefix(batch)}awaited"


def result_key(job: JobId) -> str:
    """Return where a result lies: `<batch>/<number>.json`."""
    return f"{job.batch}/{job.number:04}.json"


def deletion_key(batch: str) -> str:
    """Return where the mark of a deleted batch lies, in the results bucket."""
    return f"{batch_prefix(batch)}deleted"


def note_key(digest: str) -> str:
    """Return where the note on an idempotency key lies, in the results bucket."""
    return f"{NOTES}{digest}"


def callback_key(batch: str) -> str:
    """Return where the note on a batch's callback lies, in the results bucket."""
    return f"{CALLBACKS}{batch}"


def usage_key(day: str, digest: str) -> str:
    """Return where the note on what a client used on a day lies, in the results bucket."""
    return f"{USAGE}{day}/{digest}"


def answers_key(milliseconds: int, process: str) -> str:
    """Return where it is noted what a process learned of answers, newer ones first.

    Args:
        milliseconds: since 1970.
        process: tells apart what several note at once.
    """
    return f"{ANSWERS}{(1 << 48) - milliseconds:012x}-{process}"


def parse_input_key(key: str) -> tuple[int, str] | None:
    """Return the number and name in an input key, of the inbox or not, or None for any other."""
    match = _INPUT_KEY.fullmatch(key)
    return (int(match[1]), match[2]) if match else None


def parse_inbox_key(key: str) -> tuple[JobId, str] | None:
    """Return the job and file name in a key made by `inbox_key`, or None for any other key."""
    match = _INBOX_KEY.fullmatch(key)
    return (JobId(match[1], int(match[2])), match[3]) if match else None


def parse_result_key(key: str) -> int | None:
    """Return the number in a result key, or None for any other key."""
    match = _RESULT_KEY.fullmatch(key)
    return int(match[1]) if match else None
