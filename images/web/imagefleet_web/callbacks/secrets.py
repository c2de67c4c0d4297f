"""The secrets that callbacks are signed with, known by a file of names and secrets.

A line is `name:whsec_…`: the name of API keys, or `*` for all others and where there are no keys,
and a secret of 24 to 64 bytes in Base64. A name may stand in several lines: then it is signed with
each, so that a receiver may change over from one to the other.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from imagefleet_core.errors import ImagefleetError
from imagefleet_web.watched import Watched

EVERYBODY = "*"

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
_LEAST_BYTES, _MOST_BYTES = 24, 64
# More in one header would be a mistake.
_MOST_OF_A_NAME = 8
_LINE = re.compile(r"(\*|[A-Za-z0-9][A-Za-z0-9._@-]{0,63}):whsec_([A-Za-z0-9+/]+={0,2})")


class SecretsError(ImagefleetError):
    """The file of secrets can't be used."""


class Secrets:
    """The secrets of a file, which may change at any time.

    A file that can't be used any more leaves the secrets as they were.

    Raises:
        SecretsError: the file can't be used at first.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = Watched(path, "callback secrets", _read, clock=clock)

    def of(self, owner: str | None) -> tuple[bytes, ...]:
        """Return what an owner's callbacks are signed with; nothing if there is no secret."""
        known = self._file.get()
        everybodys = known.get(EVERYBODY, ())
        return everybodys if owner is None else known.get(owner, everybodys)


def _read(path: Path) -> Mapping[str, tuple[bytes, ...]]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise SecretsError(f"{path} can't be read: {error}") from error
    known: dict[str, tuple[bytes, ...]] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        where = f"line {number} of {path}"
        name, secret = _parse(line, where)
        known[name] = (*known.get(name, ()), secret)
        if len(known[name]) > _MOST_OF_A_NAME:
            raise SecretsError(f"{where}: more than {_MOST_OF_A_NAME} secrets of one name")
    if not known:  # most likely seen while it is being written
        raise SecretsError(f"{path} has no secrets")
    return known


def _parse(line: str, where: str) -> tuple[str, bytes]:
    """Return a line's name and secret; what it says is never shown."""
    match = _LINE.fullmatch(line)
    if not match:
        raise SecretsError(f"{where} is not name:whsec_… or *:whsec_…, the secret in Base64")
    try:
        secret = base64.b64decode(match[2], validate=True)
    except binascii.Error as error:
        raise SecretsError(f"{where}: the secret is no Base64") from error
    if not _LEAST_BYTES <= len(secret) <= _MOST_BYTES:
        raise SecretsError(f"{where}: a secret has {_LEAST_BYTES} to {_MOST_BYTES} bytes")
    return match[1], secret
