"""The last words of workers, as they may stand in a log."""

from __future__ import annotations

import re

MOST_CHARACTERS = 2000

# Colours and cursor movements of terminals, which consoles are full of.
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-_])")
_CONTROLS = re.compile(r"[^\S\n]*\r|[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def last_words(text: str) -> str:
    """Return the end of a text, at most 2,000 characters, without control characters."""
    # Ten times as much is enough to be cleaned: consoles are long.
    near_end = text[-10 * MOST_CHARACTERS :]
    return _CONTROLS.sub("", _ESCAPES.sub("", near_end)).strip()[-MOST_CHARACTERS:]
