"""Keeps the values of a metric's label few, since each is a series of its own for ever."""

from __future__ import annotations

OTHER = "other"
# Far more than there are codes; an image function of the user's own may make up any number.
MOST = 64


class Bounded:
    """Lets the first `most` different values through; all later ones are `other`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value to count under."""
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value
