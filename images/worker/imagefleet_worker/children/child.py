"""A process that does one thing for the worker and may die of it, seen from the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO

from imagefleet_core.errors import ImagefleetError
from imagefleet_worker.children import protocol
from imagefleet_worker.children.protocol import Closed

# How long one may take to start, on a machine that is busy.
START_S = 60.0
# A socket takes 0 for "don't wait at all", which is another error.
_SHORTEST_S = 0.001
# How long one that has hung up may take to be gone.
_GOING_S = 5.0


class ChildLost(ImagefleetError):
    """A process ended, or could not start, for reasons that may not be the image's.

    The image deserves another try.
    """


class Child:
    """A process and the line to it. Only one thread may use it at a time, but for `interrupt`.

    Args:
        name: what it is, to stand in messages: "a decoder".
        environment: all of its variables.
        keep_complaints: whether its standard error is kept for `last_words`, instead of going
            where the worker's own goes.

    Raises:
        ChildLost: the system starts no process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        keep_complaints: bool,
    ) -> None:
        self._called = name
        self._ready = False
        with ExitStack() as opened:
            try:
                self._complaints = opened.enter_context(_notebook())
                self._line, theirs = protocol.pair()
                opened.enter_context(self._line)
                with theirs:
                    self._process = subprocess.Popen(
                        command,
                        stdin=theirs.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=self._complaints if keep_complaints else None,
                        env=environment,
                    )
            except OSError as error:
                raise ChildLost(f"{name} can't be started: {error}") from error
            self._opened = opened.pop_all()

    def alive(self) -> bool:
        """Return whether the process is still there."""
        return self._process.poll() is None

    def await_ready(self) -> None:
        """Return when it can be used; raises `ChildLost` that says why it can't."""
        if not self._ready:
            self._greeted(*self._greeting())
            self._ready = True

    def _greeted(self, kind: bytes, body: bytes) -> None:
        """Learn from its first frame; raises `ChildLost` if that says that it's of no use."""

    def _greeting(self) -> tuple[bytes, bytes]:
        self._line.settimeout(START_S)
        try:
            kind, length = protocol.receive_header(self._line)
            return kind, self._receive(length)
        except TimeoutError as error:
            raise ChildLost(f"{self._called} has not started within {START_S:g} s") from error
        except Closed as error:
            _, ended_by = self._end()
            reason = self._last_words() or ended_by
            raise ChildLost(f"{self._called} could not start: {reason}") from error

    def _ask(self, deadline: float, kind: bytes, *parts: bytes) -> tuple[bytes, int]:
        """Send a frame; return kind and length of the one that answers, its body not read yet.

        Raises:
            Closed: the process is gone.
            TimeoutError: `deadline`, on the monotonic clock, has passed.
        """
        self._wait_until(deadline)
        protocol.send(self._line, kind, *parts)
        self._wait_until(deadline)
        return protocol.receive_header(self._line)

    def _receive(self, length: int) -> bytes:
        """Return so many bytes of a frame's body; raises as `_ask`."""
        return protocol.receive(self._line, length)

    def interrupt(self) -> None:
        """End the process at once; any thread may do that."""
        self._process.kill()

    def close(self) -> None:
        """End the process, and leave nothing of it; harmless to call twice."""
        self.interrupt()
        self._process.wait()
        self._opened.close()

    def _end(self) -> tuple[int, str]:
        """Wait for the end of a process that has hung up.

        Returns:
            The number of the signal that ended it, or 0; and what ended it, in a word.
        """
        try:
            self._process.wait(_GOING_S)
        except subprocess.TimeoutExpired:
            self.interrupt()
            self._process.wait()
        status = self._process.returncode
        return (-status, signal.Signals(-status).name) if status < 0 else (0, f"status {status}")

    def _last_words(self) -> str:
        """Return the last line that the process wrote to its standard error."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _wait_until(self, deadline: float) -> None:
        self._line.settimeout(max(_SHORTEST_S, deadline - time.monotonic()))


def _notebook() -> IO[bytes]:
    """Return a file of no name: in memory where the system can, as containers may have no disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("complaints"), "w+b")
    return tempfile.TemporaryFile()
