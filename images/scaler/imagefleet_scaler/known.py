"""What is remembered of one worker."""

from __future__ import annotations

from dataclasses import dataclass

from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scaler.policy import Phase
from imagefleet_scaler.providers.base import Instance, InstanceState

_PHASES = {
    WorkerState.IDLE: Phase.IDLE,
    WorkerState.BUSY: Phase.BUSY,
    WorkerState.DRAINING: Phase.DRAINING,
    WorkerState.STOPPED: Phase.DRAINING,
}
# By no more is a host's clock ahead of another's, unless it is wrong or somebody lies.
AHEAD_S = 30.0


@dataclass
class Known:
    """One worker, as listed and as it tells of itself.

    Attributes:
        seen_at: when it was launched or first seen, in Unix seconds.
        is_new: whether this scaler launched it, so that its boot is seen.
        heard_at: when its last report came, or before that when it was first seen; in seconds of
            the fleet's own clock.
        was_up: whether it was found so long after its launch that its boot must be over.
        retired: whether this scaler sent it away.
        given_up: whether its boot counts as one that came to nothing.
    """

    instance: Instance
    seen_at: float
    is_new: bool
    heard_at: float
    was_up: bool = False
    report: Report | None = None
    retired: bool = False
    given_up: bool = False

    @property
    def is_missed(self) -> bool:
        """Whether it came to nothing, if it is not there any more.

        One whose launch was before this scaler's time may have worked, and gone when that was done.
        """
        silent = self.report is None and not self.instance.expected
        return silent and self.is_new and not self.retired

    def phase(self, silent_s: float, *, deadline_s: float, lost_after_s: float) -> Phase:
        """Return where it is in its life, after so many seconds without a word.

        Args:
            deadline_s: so long a boot may take.
            lost_after_s: so long one that was up may be silent.
        """
        if self.instance.state is InstanceState.STOPPING:
            return Phase.DRAINING
        if self.report is None and not self.was_up:
            return Phase.LOST if silent_s > deadline_s else Phase.BOOTING
        if silent_s > lost_after_s:
            return Phase.LOST
        # One that was not heard yet is not to be replaced, nor retired.
        return _PHASES[self.report.state] if self.report else Phase.BUSY

    def is_news(self, report: Report) -> bool:
        """Whether a report tells more of it than those before; they come twice and out of order.

        Nor is it news what a stopped instance said before it was started again: nobody begins with
        an end. The clocks of workers may be wrong, so of all else nothing follows from its time.
        """
        if self.report:
            return report.at > self.report.at
        is_end = _PHASES[report.state] is Phase.DRAINING
        return not (self.is_new and is_end and report.at.timestamp() < self.seen_at - AHEAD_S)

    def counted(self, report: Report) -> int:
        """Return how many of the results that a report tells of are counted already."""
        before = self.report
        if before is None:
            return 0 if self.is_new else report.done
        # One that was started anew, under the id of its instance, counts from nothing.
        return before.done if before.done <= report.done else 0
