"""The workers' reports, as they lie in the telemetry queue."""

from __future__ import annotations

import structlog

from imagefleet_core.errors import DecodeError
from imagefleet_core.queues import Message, Queue
from imagefleet_core.telemetry import Report

# 200 messages a turn: 20 workers reporting five times a second.
MAX_RECEIVES = 20
# Long enough to delete what was received; a report that comes again does no harm.
VISIBILITY_S = 30

log = structlog.get_logger(__name__)


class Telemetry:
    """Reads reports; both methods raise `Unavailable` when the queue does not answer."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def take(self) -> list[Report]:
        """Take the reports out of the queue, as many as one turn should spend time on."""
        reports = []
        for _ in range(MAX_RECEIVES):
            messages = self._queue.receive(wait_s=0, visibility_s=VISIBILITY_S)
            if not messages:
                break
            self._queue.delete([message.receipt for message in messages])
            reports += _decode(messages)
        return reports

    def peek(self) -> list[Report]:
        """Return some of the reports and leave all of them there, for whoever acts on them."""
        return _decode(self._queue.receive(wait_s=0, visibility_s=0))


def _decode(messages: list[Message]) -> list[Report]:
    reports = []
    for message in messages:
        try:
            reports.append(Report.decode(message.body))
        except DecodeError as error:
            log.warning("a report could not be read", reason=str(error), body=message.body[:200])
    return reports
