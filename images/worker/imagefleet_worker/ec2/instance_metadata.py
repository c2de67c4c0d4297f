"""What EC2 has in store for this instance: when it is about to go, the worker drains in time.

Spot interruptions:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
Rebalance recommendations:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html
Scheduled events:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_scheduled_events.html
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import structlog

from imagefleet_worker.ec2.imds import TIMEOUT_S, Imds, ImdsError
from imagefleet_worker.outage import Outage

# As often as AWS recommends.
POLL_S = 5.0
# Where it doesn't answer, ever more rarely up to this; a notice of two minutes leaves time for it.
LONGEST_PAUSE_S = 60.0

# A recommendation is no interruption, and often comes to a whole fleet at once. Each worker leaves
# at some moment of these ten minutes, so that fresh ones are there before the last old one goes;
# and in a market where fresh ones are told to go at once, an instance still works for five
# minutes on average. What comes to an end earlier gets its two minutes' notice all the same.
REBALANCE_S = 600.0

# What ends an instance, or all that runs on it; `system-maintenance` only disturbs it.
ENDING = {"instance-stop", "instance-retirement", "instance-reboot", "system-reboot"}
# Events are announced weeks ahead. This is time enough to drain, to give back what hangs (after
# five minutes), and for clocks that differ; no instance is left unused for longer.
NEAR = timedelta(minutes=10)

log = structlog.get_logger()


class Notices:
    """Looks for notices and asks the worker to drain, once; one thread takes its turns.

    Args:
        url: where instance metadata answers; on EC2 `http://169.254.169.254`, which a container
            reaches only if the instance's hop limit is 2.
        ask: called with the reason, for people, when it is time to drain.
        clock: seconds that only go forward.
        now: the time of day.
        chance: returns a number from 0 to 1, by chance.
        timeout_s: how long the service may be silent.

    Raises:
        ImdsError: `url` is no such address.
    """

    def __init__(
        self,
        url: str,
        ask: Callable[[str], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._imds = Imds(url, clock=clock, timeout_s=timeout_s)
        self._ask = ask
        self._clock = clock
        self._now = now
        self._chance = chance
        self._outage = Outage("looking for EC2's notices", clock)
        self._pause_s = POLL_S
        self._leave_at: float | None = None
        self._asked = False
        self._puzzling: set[str] = set()

    def turn(self) -> float:
        """Look once; return the seconds to pause after it."""
        try:
            reason = self._interruption() or self._rebalance() or self._scheduled()
        except ImdsError as error:
            self._outage.failed(error)
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
            return pause_s
        self._outage.answered()
        self._pause_s = POLL_S
        if reason and not self._asked:
            self._asked = True
            log.warning("this instance is about to go", reason=reason)
            self._ask(reason)
        return POLL_S

    def _interruption(self) -> str:
        """Return what EC2 is about to do with this spot instance, if anything."""
        match self._entry("spot/instance-action"):
            case {"action": action, "time": at}:
                return f"spot interruption: {action} at {at}"
        return ""

    def _rebalance(self) -> str:
        """Return the recommendation to leave this spot instance, once its time has come."""
        match self._entry("events/recommendations/rebalance"):
            case {"noticeTime": at}:
                return f"rebalance recommendation of {at}" if self._may_leave() else ""
        return ""

    def _may_leave(self) -> bool:
        if self._leave_at is None:
            after_s = self._chance() * REBALANCE_S
            self._leave_at = self._clock() + after_s
            log.info("EC2 recommends to leave this instance", leaving_after_s=round(after_s))
        return self._clock() >= self._leave_at

    def _scheduled(self) -> str:
        """Return the first scheduled event that soon ends this instance or what runs on it."""
        events = self._entry("events/maintenance/scheduled")
        return next(self._ending(events), "") if isinstance(events, list) else ""

    def _ending(self, events: list[object]) -> Iterator[str]:
        for event in events:
            match event:
                case {"State": "active", "Code": str(code), "NotBefore": str(text)}:
                    at = _moment(text)
                    if code in ENDING and at and at - self._now() <= NEAR:
                        yield f"scheduled {code} at {text}"

    def _entry(self, path: str) -> object:
        """Return the JSON at a path, None where there is nothing, or nothing to understand."""
        text = self._imds.get(path)
        if text is None:
            return None
        try:
            entry: object = json.loads(text)
            return entry
        except (ValueError, RecursionError):
            # Not EC2's service, or its future: a worker that went for this might go for ever.
            if path not in self._puzzling:
                self._puzzling.add(path)
                log.warning("instance metadata is not understood", path=path, data=text[:1000])
            return None


def _moment(text: str) -> datetime | None:
    """Read a time as scheduled events have it, "21 Jan 2019 09:00:43 GMT"."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
