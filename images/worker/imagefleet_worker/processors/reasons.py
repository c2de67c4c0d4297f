"""Why the user's code failed, in a line that leads to the line of theirs that did."""

from __future__ import annotations

import traceback
from pathlib import Path

_CHARACTERS = 300


def reason(error: BaseException, module: str) -> str:
    """Return an error's kind and message, and the last line of a module that led to it."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:_CHARACTERS]
    places = [
        f" ({Path(frame.f_code.co_filename).name}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == module
    ]
    return said + places[-1] if places else said
