"""What lies in the telemetry queue: the workers' reports, and news of work."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from imagefleet_core.errors import DecodeError, ImagefleetError
from imagefleet_core.queues import BATCH, Message, Queue
from imagefleet_core.telemetry import Announcement, Report, decode

# Calls a turn: with ten messages each, 20 workers reporting five times a second. Where there are
# more than a hundred, two reports of each, or what is read would be older from turn to turn.
MAX_RECEIVES = 20
REPORTS_EACH = 2
# Long enough to delete what was received; a report that comes again does no harm.
VISIBILITY_S = 30
# The longest that SQS holds a request open.
LONG_POLL_S = 20
# After a poll that failed.
PAUSE_S = 5.0

log = structlog.get_logger(__name__)


@dataclass
class News:
    """What came: reports of workers, and announcements of images."""

    reports: list[Report] = field(default_factory=list)
    announcements: list[Announcement] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.reports or self.announcements)

    def add(self, other: News) -> None:
        """Take in what else came."""
        self.reports += other.reports
        self.announcements += other.announcements


class Telemetry:
    """Reads the queue; its methods raise `Unavailable` when that does not answer."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def take(self, wait_s: int = 0, workers: int = 0) -> News:
        """Take what is there out of the queue, as much as one turn should spend time on.

        What was received is returned even if the queue fails after that.

        Args:
            wait_s: how long to wait for the first of it.
            workers: how many there are to report.
        """
        news = News()
        for _ in range(max(MAX_RECEIVES, math.ceil(workers * REPORTS_EACH / BATCH))):
            try:
                messages = self._queue.receive(wait_s=wait_s, visibility_s=VISIBILITY_S)
                if not messages:
                    break
                news.add(_decoded(messages))
                self._queue.delete([message.receipt for message in messages])
            except ImagefleetError:
                if not news:
                    raise
                break  # the next turn will tell if that lasts
            wait_s = 0
        return news

    def peek(self) -> News:
        """Return some of it and leave all of it there, for whoever acts on it."""
        return _decoded(self._queue.receive(wait_s=0, visibility_s=0))


class Ear:
    """Listens on behalf of a loop that is at rest, so that news wakes it at once.

    A thread of its own waits for the queue; so the loop can stop without waiting for that.

    Args:
        on_news: called when something came.
    """

    def __init__(self, telemetry: Telemetry, on_news: Callable[[], None]) -> None:
        self._telemetry = telemetry
        self._on_news = on_news
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._heard = News()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listening for work", daemon=True)

    def listen(self) -> None:
        """Begin to listen, until something comes."""
        self._wanted.set()
        if not self._thread.ident:
            self._thread.start()

    def pause(self) -> None:
        """Listen no more once this poll is over, until `listen`; what was heard is forgotten."""
        self._wanted.clear()
        self.heard()

    def heard(self) -> News:
        """Return what came, once."""
        with self._lock:
            heard, self._heard = self._heard, News()
        return heard

    def close(self) -> None:
        """Let the thread end."""
        self._closed.set()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._closed.is_set():
                return
            try:
                news = self._telemetry.take(LONG_POLL_S)
            except Exception as error:  # a deaf scaler would be slow for ever
                if isinstance(error, ImagefleetError):
                    log.debug("nothing can be heard now", reason=str(error))
                else:
                    log.exception("nothing can be heard now", reason=repr(error))
                self._closed.wait(PAUSE_S)
                continue
            if news:
                with self._lock:
                    self._heard.add(news)
                self._wanted.clear()
                self._on_news()


def _decoded(messages: list[Message]) -> News:
    news = News()
    for message in messages:
        try:
            told = decode(message.body)
        except DecodeError as error:
            log.warning("a report could not be read", reason=str(error), body=message.body[:200])
            continue
        if isinstance(told, Report):
            news.reports.append(told)
        else:
            news.announcements.append(told)
    return news
