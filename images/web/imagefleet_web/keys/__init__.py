"""API keys: who may use the API, known by a file of names and hashes.

A line is `name:hash` or `name:hash:images`: the SHA-256 of a key in hexadecimal, and how many
images of that name may be uploaded in a day. A name may stand in several lines: so a new key is
given out before the old one is taken away, and what was uploaded with one is there for the other.
`scripts/new-key NAME` makes a key.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from imagefleet_core.errors import ImagefleetError
from imagefleet_web.rights import owners
from imagefleet_web.watched import Watched

# By this people, and the scanners of code hosts, know a key that lies where none should.
MARK = "imf_"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LINE = re.compile(rf"({_NAME.pattern}):([0-9a-f]{{64}})(?::([0-9]{{1,9}}))?")


class KeysError(ImagefleetError):
    """The file of keys can't be used."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the file says: names and hashes, and the images a day of some of the names."""

    hashes: tuple[tuple[str, str], ...]
    images_a_day: Mapping[str, int]


class Keys:
    """The keys of a file, which may change at any time.

    A file that can't be used any more leaves the keys as they were.

    Raises:
        KeysError: the file can't be used at first.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = Watched(path, "API keys", _read, clock=clock)

    def name_of(self, key: str) -> str | None:
        """Return whose key it is, or None if it is none.

        A key is 256 bits by chance, so one round of SHA-256 hides it well: what slow hashes are
        for, guessing likely passwords, gets nowhere. All keys are compared, each in constant time.
        """
        digest, found = _hash(key), None
        for name, known in self._file.get().hashes:
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def images_a_day(self, name: str) -> int | None:
        """Return how many images a name may upload in a day, 0 for any; None if it isn't told."""
        return self._file.get().images_a_day.get(name)


def make(name: str, images_a_day: int | None = None) -> tuple[str, str]:
    """Return a new key and its line for the file; raises `KeysError` for a name that can't be."""
    if not _NAME.fullmatch(name):
        raise KeysError(
            f"{name[:80]!r} can't name a key: use up to 64 letters, digits and any of . _ @ -"
        )
    key = MARK + secrets.token_urlsafe(32)
    quota = "" if images_a_day is None else f":{images_a_day}"
    return key, f"{name}:{_hash(key)}{quota}"


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _read(path: Path) -> _Known:
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise KeysError(f"{path} can't be read: {error}") from error
    hashes: list[tuple[str, str]] = []
    images_a_day: dict[str, int] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:  # which may be a key that was taken for its hash, so it is not shown
            raise KeysError(
                f"line {number} of {path} is neither name:hash (64 hexadecimal digits) "
                "nor name:hash:images, images being those of a day"
            )
        name, digest, quota = match.groups()
        hashes.append((name, digest))
        if quota and images_a_day.setdefault(name, int(quota)) != int(quota):
            raise KeysError(f"line {number} of {path} gives {name} a second number of images a day")
    if not hashes:  # most likely seen while it is being written
        raise KeysError(f"{path} has no keys; scripts/new-key makes one")
    _check_owners({name for name, _ in hashes})
    return _Known(tuple(hashes), images_a_day)


def _check_owners(names: set[str]) -> None:
    by_tag: dict[str, str] = {}
    for name in sorted(names):
        other = by_tag.setdefault(owners.tag(name), name)
        if other != name:
            raise KeysError(f"{name} and {other} can't be told apart by their hashes; rename one")
