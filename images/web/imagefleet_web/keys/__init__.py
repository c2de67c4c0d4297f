"""API keys: who may use the API, known by a file of names and hashes.

A line is `name:hash`, the hash being the SHA-256 of a key in hexadecimal. A name may stand in
several lines: so a new key is given out before the old one is taken away, and what was uploaded
with one is there for the other. `scripts/new-key NAME` makes a key.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Lock

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_web import owners

log = structlog.get_logger()

# By this people, and the scanners of code hosts, know a key that lies where none should.
MARK = "imf_"
FRESH_S = 2.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LINE = re.compile(rf"({_NAME.pattern}):([0-9a-f]{{64}})")

_Version = tuple[int, int, int]


class KeysError(ImagefleetError):
    """The file of keys can't be used."""


class Keys:
    """The keys of a file, which may change at any time: it is looked at every two seconds.

    A file that can't be used any more leaves the keys as they were.

    Raises:
        KeysError: the file can't be used at first.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looking = Lock()
        self._seen: _Version | None = _version(path)
        self._stale_at = clock() + FRESH_S
        self._known = _read(path)

    def name_of(self, key: str) -> str | None:
        """Return whose key it is, or None if it is none.

        A key is 256 bits by chance, so one round of SHA-256 hides it well: what slow hashes are
        for, guessing likely passwords, gets nowhere. All keys are compared, each in constant time.
        """
        self._look()
        digest, found = _hash(key), None
        for name, known in self._known:
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def _look(self) -> None:
        if self._clock() < self._stale_at or not self._looking.acquire(blocking=False):
            return
        try:
            self._stale_at = self._clock() + FRESH_S
            version = _version(self._path)
            if version == self._seen:
                return
            self._seen = version  # whatever becomes of it, so that it is told once
            self._known = _read(self._path)
            log.info("API keys read again", keys=len(self._known))
        except KeysError as error:
            log.warning("API keys stay as they were", reason=str(error))
        finally:
            self._looking.release()


def make(name: str) -> tuple[str, str]:
    """Return a new key and its line for the file; raises `KeysError` for a name that can't be."""
    if not _NAME.fullmatch(name):
        raise KeysError(
            f"{name[:80]!r} can't name a key: use up to 64 letters, digits and any of . _ @ -"
        )
    key = MARK + secrets.token_urlsafe(32)
    return key, f"{name}:{_hash(key)}"


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _version(path: Path) -> _Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise KeysError(f"{path} can't be read: {error}") from error
    known = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:  # which may be a key that was taken for its hash, so it is not shown
            raise KeysError(f"line {number} of {path} is not name:hash (64 hexadecimal digits)")
        known.append((match[1], match[2]))
    if not known:  # most likely seen while it is being written
        raise KeysError(f"{path} has no keys; scripts/new-key makes one")
    _check_owners({name for name, _ in known})
    return tuple(known)


def _check_owners(names: set[str]) -> None:
    by_tag: dict[str, str] = {}
    for name in sorted(names):
        other = by_tag.setdefault(owners.tag(name), name)
        if other != name:
            raise KeysError(f"{name} and {other} can't be told apart by their hashes; rename one")
