"""A file that is touched while the worker is well, for health checks from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from imagefleet_worker.leases import LONGEST_HOLD_S
from imagefleet_worker.stage import Stage

BEAT_S = 2.0
# No turn of a stage takes this long: calls to AWS give up before, an image takes far less.
STUCK_S = 180.0
# A worker that is unwell for this long won't get well by itself. What it holds is still its own.
GIVE_UP_S = 100.0

log = structlog.get_logger()


class Heartbeat:
    """Touches the file while all is well; one thread takes its turns.

    Args:
        stages: none of them may be stuck.
        checks: each returns what else is wrong, or an empty string.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        file: Path,
        stages: Sequence[Stage[Any]],
        *,
        checks: Sequence[Callable[[], str]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._stages = stages
        self._checks = checks
        self._clock = clock
        self._unwell_since: float | None = None
        self._told = ""

    def turn(self) -> float:
        """Beat, if all is well; return the seconds to pause after it."""
        problem = self._problem() or self._beat()
        if problem and problem != self._told:
            log.error("no heartbeat", reason=problem)
        self._told = problem
        return BEAT_S

    def hopeless(self) -> str:
        """Return what has been wrong for `GIVE_UP_S`, or an empty string; to be asked often."""
        problem = self._problem()
        if not problem:
            self._unwell_since = None
        elif self._unwell_since is None:
            self._unwell_since = self._clock()
        elif self._clock() - self._unwell_since > GIVE_UP_S:
            return problem
        return ""

    def _problem(self) -> str:
        return " and ".join(self._problems())

    def _problems(self) -> Iterator[str]:
        for stage in self._stages:
            # One thread of several may hang for good while the others go on.
            if stage.stuck_s() > STUCK_S or stage.longest_turn_s() > LONGEST_HOLD_S:
                yield f"{stage.name} is stuck"
        yield from filter(None, (check() for check in self._checks))

    def _beat(self) -> str:
        """Touch the file; return why it could not be, or nothing."""
        try:
            self._file.touch()
        except OSError as error:
            return str(error)
        return ""
