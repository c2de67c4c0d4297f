"""A process that logs in JSON, whose log can be read while it writes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Logged:
    """A process and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return all log lines so far; each must be an object of our own form."""
        return [json.loads(line) for line in whole_lines(self.log)]

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event so far."""
        return [line for line in self.lines() if line["event"] == event]


def whole_lines(log: Path, start: int = 0) -> list[str]:
    """Return the lines of a log from byte `start` on, without one that is still being written."""
    whole, end, _ = log.read_bytes()[start:].rpartition(b"\n")
    return (whole + end).decode().splitlines()
