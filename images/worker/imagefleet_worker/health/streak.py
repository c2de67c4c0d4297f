"""Images that fail one after the other in ways nobody thought of: then it's not the images."""

from __future__ import annotations

import threading

from imagefleet_core.jobs import JobId, Result, Status

# Far more than a batch has of images that break a network, and soon enough to spare the others.
LONGEST = 20


class Streak:
    """Counts the images that were spoilt since the last one that worked; safe between threads.

    A worker whose network, device or memory is broken would use up the tries of every image it can
    get hold of. One image that comes again and again counts once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spoilt: set[JobId] = set()

    def spoilt(self, job: JobId) -> None:
        """Take note of an image that could not be worked on."""
        with self._lock:
            self._spoilt.add(job)

    def stored(self, result: Result) -> None:
        """Take note of a stored result; one that is `done` shows that all is well.

        A picture that can't be decoded fails before it comes to what may be broken.
        """
        if self._spoilt and result.status is Status.DONE:
            with self._lock:
                self._spoilt.clear()

    def problem(self) -> str:
        """Return what is wrong, or an empty string."""
        count = len(self._spoilt)
        return f"{LONGEST} images in a row could not be worked on" if count >= LONGEST else ""
