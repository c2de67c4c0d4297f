"""What no file should do to the process that reads it; the system, or C code, does it in one go."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable

# A regular expression whose time doubles with every letter, and which C code runs in one go.
_ENDLESS = re.compile(r"(a+)+$")

DEEDS: dict[str, Callable[[], object]] = {
    "hang": lambda: _ENDLESS.match("a" * 64 + "b"),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "divide": lambda: os.kill(os.getpid(), signal.SIGFPE),
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
}
