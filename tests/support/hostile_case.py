"""One hostile file and the answers that are right for it."""

from __future__ import annotations

from dataclasses import dataclass

PICTURE = "picture"


@dataclass(frozen=True)
class Hostile:
    """Bytes made to do harm.

    Attributes:
        answers: `picture` or error codes, one of which is right; any will do if it is empty.
    """

    data: bytes
    answers: frozenset[str]


def hostile(data: bytes, *answers: str) -> Hostile:
    """Return a hostile file."""
    return Hostile(data, frozenset(answers))
