"""Where the processes of one server keep their figures, so that any of them can tell those of all.

A folder with a file for each kind of metric and each place; a place is what a process takes in the
server. One that follows a process that ended, however it ended, takes its place and counts on, so
no counter ever goes back.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import structlog
from prometheus_client import multiprocess, values

log = structlog.get_logger()

NAME = "imagefleet-metrics-"
# Several times what all series there can be take. Written in full: a hole in a file that is mapped
# into memory kills the process that first writes to it when the disk is full.
FILE_BYTES = 256 * 1024
KINDS = ("counter", "histogram", "gauge_livesum", "gauge_mostrecent")
# A folder that is younger may not be locked yet.
LEFT_BEHIND_S = 60.0


class SharedFigures:
    """The folder, as the process sees it that forks the others; made with the first place."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._taken: set[int] = set()

    @property
    def folder(self) -> Path:
        """Where the figures are, once a place is taken."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=NAME))
            # Held by this process and all that it forks, until the last has ended.
            self._lock = os.open(self._folder, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            _remove_left_behind()
        return self._folder

    def take_place(self) -> int | None:
        """Return a free place for a process about to be forked, None if there is no room."""
        place = next(number for number in range(len(self._taken) + 1) if number not in self._taken)
        try:
            for kind in KINDS:
                _make(self.folder / f"{kind}_{place}.db")
        except OSError as error:
            log.warning("a process keeps its figures to itself", reason=error.strerror)
            return None
        self._taken.add(place)
        return place

    def leave_place(self, place: int) -> None:
        """Let another process take a place, as the one that had it has ended."""
        multiprocess.mark_process_dead(place, str(self.folder))  # type: ignore[no-untyped-call]
        self._taken.discard(place)

    def join(self, place: int) -> None:
        """Keep this process's figures there from now on; those made before stay its own."""
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Take the folder away, as the server ends."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)


def _make(file: Path) -> None:
    if file.exists():
        return
    # Under another name until it is whole, as other processes read what is there.
    part = file.with_suffix(".part")
    try:
        part.write_bytes(bytes(FILE_BYTES))
        part.rename(file)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _remove_left_behind() -> None:
    """Remove the folders of servers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{NAME}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > LEFT_BEHIND_S and _is_nobodys(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_nobodys(folder: Path) -> bool:
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
