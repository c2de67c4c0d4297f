"""A file that is touched while the worker is well, for health checks from outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from imagefleet_worker.stage import Stage

BEAT_S = 2.0
# No turn of a stage takes this long: calls to AWS give up before, an image takes far less.
STUCK_S = 120.0

log = structlog.get_logger()


class Heartbeat:
    """Touches the file while no stage is stuck; one thread takes its turns."""

    def __init__(self, file: Path, stages: Sequence[Stage[Any]]) -> None:
        self._file = file
        self._stages = stages
        self._told = ""

    def turn(self) -> float:
        """Beat, if all is well; return the seconds to pause after it."""
        stuck = [stage.name for stage in self._stages if stage.longest_turn_s() > STUCK_S]
        problem = f"{' and '.join(stuck)} is stuck" if stuck else self._beat()
        if problem and problem != self._told:
            log.error("no heartbeat", reason=problem)
        self._told = problem
        return BEAT_S

    def _beat(self) -> str:
        """Touch the file; return why it could not be, or nothing."""
        try:
            self._file.touch()
        except OSError as error:
            return str(error)
        return ""
