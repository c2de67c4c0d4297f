"""How fast images keep coming: what a burst is not.

A burst is answered from the backlog. A rate is what came in each of the last windows, so it is
the least of them: one burst, however large, is no rate, and noise makes it rather too low.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_S = 15.0
WINDOWS = 3
LONGEST_GAP_S = 60.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A value: `extended` gives a new one.

    Attributes:
        marks: `(when, images so far)` where windows begin, the newest last.
        latest: the same when it was last at its highest.
    """

    marks: tuple[tuple[float, int], ...] = ()
    latest: tuple[float, int] = (0, 0)

    def extended(self, now: float, so_far: int) -> Arrivals:
        """Add how many images have come by now: those done and those that wait.

        Counts lag, so a lower one than before is not believed at once, but for a while it is taken
        for the one before. A clock that went back or a long gap begins anew.
        """
        at, before = self.latest
        if not self.marks or not 0 <= now - at <= LONGEST_GAP_S:
            return Arrivals(((now, so_far),), (now, so_far))
        latest = (now, so_far) if so_far >= before else self.latest
        marks, (begin, _) = self.marks, self.marks[-1]
        if now - begin >= WINDOW_S:
            marks = (*marks, (now, latest[1]))[-(WINDOWS + 1) :]
        return Arrivals(marks, latest)

    @property
    def per_s(self) -> float:
        """Images that keep coming each second; 0 until some windows have passed."""
        if len(self.marks) <= WINDOWS:
            return 0
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return min((after - before) / (end - begin) for (begin, before), (end, after) in pairs)
