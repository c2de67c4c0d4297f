"""What the loop's log says of states that last: when each begins, changes or ends.

What alarms look for is said again while it lasts, as they are over five minutes after a line.
"""

from __future__ import annotations

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_scaler.policy import Decision

log = structlog.get_logger()

# Well within the alarms' period, 300 s in infra/fleet.yaml, so that each period has a line.
AGAIN_S = 120.0


class Diary:
    """Remembers what was said last, so that not every turn says it again."""

    def __init__(self) -> None:
        self._cap = ""
        self._capped_at = float("-inf")
        self._trouble: str | None = None
        self._failed_at = float("-inf")
        self._would: tuple[int, tuple[str, ...]] | None = None

    def capped(self, cap: str, reason: str, now: float) -> None:
        """Say what keeps the fleet small while it does, and when it no longer does.

        Alarms look for these lines, and for the kind of cap.

        Args:
            now: Unix seconds.
        """
        if cap == self._cap and not (cap and now - self._capped_at >= AGAIN_S):
            return
        self._cap, self._capped_at = cap, now
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

    def failed(self, error: Exception, now: float) -> None:
        """Log a trouble in full when it begins or changes, and now and then while it lasts.

        Args:
            now: Unix seconds.
        """
        trouble = str(error) or repr(error)
        if trouble == self._trouble and now - self._failed_at < AGAIN_S:
            log.debug("this turn failed too", reason=trouble)
            return
        self._failed_at = now
        if isinstance(error, ImagefleetError):
            log.error("this turn failed; trying on", reason=trouble)
        else:
            log.error("this turn failed; trying on", reason=trouble, exc_info=error)
        self._trouble = trouble

    def recovered(self) -> None:
        """Say that a trouble is over, if there was one."""
        if self._trouble is not None:
            log.info("all is well again", after=self._trouble)
        self._trouble = None
