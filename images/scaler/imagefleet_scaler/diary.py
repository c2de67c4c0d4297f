"""What the loop's log says of states that last: each once, when it begins, changes or ends."""

from __future__ import annotations

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_scaler.policy import Decision

log = structlog.get_logger()


class Diary:
    """Remembers what was said last, so that no turn says it again."""

    def __init__(self) -> None:
        self._cap = ""
        self._trouble: str | None = None
        self._would: tuple[int, tuple[str, ...]] | None = None

    def capped(self, cap: str, reason: str) -> None:
        """Say what keeps the fleet small when it begins to, and when it no longer does.

        Alarms look for these lines, and for the kind of cap.
        """
        if cap == self._cap:
            return
        self._cap = cap
        if cap:
            log.warning("the fleet can't grow as it should", cap=cap, reason=reason)
        else:
            log.info("the fleet may grow again")

    def would(self, decision: Decision, facts: dict[str, object]) -> None:
        """Say what a dry run does not do, unless that is what was said last."""
        would = (decision.launch, decision.retire)
        if would != self._would:
            log.info(
                "the fleet would change" if any(would) else "the fleet would stay as it is",
                launch=decision.launch,
                retire=list(decision.retire),
                **facts,
            )
        self._would = would

    def failed(self, error: Exception) -> None:
        """Log a trouble in full when it begins or changes, and not at every turn it lasts."""
        trouble = str(error) or repr(error)
        if trouble == self._trouble:
            log.debug("this turn failed too", reason=trouble)
        elif isinstance(error, ImagefleetError):
            log.error("this turn failed; trying on", reason=trouble)
        else:
            log.error("this turn failed; trying on", reason=trouble, exc_info=error)
        self._trouble = trouble

    def recovered(self) -> None:
        """Say that a trouble is over, if there was one."""
        if self._trouble is not None:
            log.info("all is well again", after=self._trouble)
        self._trouble = None
