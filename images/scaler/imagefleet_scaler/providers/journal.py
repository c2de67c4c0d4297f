"""Where a provider notes a launch before it asks for it, so that the next scaler knows of it."""

from __future__ import annotations

from typing import Protocol

from imagefleet_core.errors import ImagefleetError


class Conflict(ImagefleetError):
    """Another scaler wrote since this one read: it acts, too."""


class Journal(Protocol):
    """One short text that outlives the scaler; both verbs may raise `ImagefleetError`."""

    def read(self) -> str:
        """Return what was written last, by whichever scaler; empty if nothing was."""

    def write(self, text: str) -> None:
        """Replace the text that was read or written last; raises `Conflict` if it is another."""


class MemoryJournal:
    """A journal that ends with the process."""

    def __init__(self) -> None:
        self._text = ""

    def read(self) -> str:
        """Return what was written last."""
        return self._text

    def write(self, text: str) -> None:
        """Replace the text."""
        self._text = text
