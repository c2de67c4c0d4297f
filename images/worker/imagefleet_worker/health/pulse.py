"""Signs of life of the worker's loops, so that one that hangs or only fails is noticed."""

from __future__ import annotations

from collections.abc import Callable

# A turn's calls to AWS give up long before.
SILENT_S = 120.0
# Whatever fails for so long without any turn that went well won't get well by itself.
FAILING_S = 60.0


class Pulse:
    """What one loop tells of its turns, and what another thread concludes from it."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._due_at = clock()
        self._failing_since: float | None = None

    def turned(self, pause_s: float) -> None:
        """Take note of a turn that went well, and of the pause after it."""
        self._due_at = self._clock() + pause_s
        self._failing_since = None

    def failed(self, pause_s: float) -> None:
        """Take note of a turn that failed in a way nobody thought of."""
        now = self._clock()
        self._due_at = now + pause_s
        if self._failing_since is None:
            self._failing_since = now

    def ended(self) -> None:
        """Take note of the loop's end: from now on it may be silent."""
        self._due_at, self._failing_since = float("inf"), None

    def problem(self) -> str:
        """Return what is wrong with the loop, or an empty string."""
        now, since = self._clock(), self._failing_since
        if now - self._due_at > SILENT_S:
            return f"{self._name} hangs"
        if since is not None and now - since > FAILING_S:
            return f"{self._name} only fails"
        return ""


class Pulses:
    """The pulses of all loops."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pulses: list[Pulse] = []

    def add(self, name: str) -> Pulse:
        """Return the pulse of a new loop."""
        pulse = Pulse(name, self._clock)
        self._pulses.append(pulse)
        return pulse

    def problem(self) -> str:
        """Return what is wrong with the loops, or an empty string."""
        return " and ".join(filter(None, (pulse.problem() for pulse in list(self._pulses))))
