"""Memory and disk that run short: then the worker takes no more, and gives back what it can."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from imagefleet_worker.leases import Leases
from imagefleet_worker.machine.container_memory import memories
from imagefleet_worker.memory import MIB
from imagefleet_worker.stage import Stage
from imagefleet_worker.work import Image

# Short is a tenth of the memory, a twentieth of the disk, and no more than this of a large one.
MEMORY_LOW = 256 * MIB
DISK_LOW = 100 * MIB
INODES_LOW = 1000
# Once short, half as much again must be free, so that the worker doesn't waver.
RELIEF = 1.5
# A message that was tried more often than this is finished here all the same.
SPARED_TRIES = 2
# How often it's measured: some file reads, about 1 ms in all.
LOOK_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Supply:
    """Something that may run short.

    Attributes:
        what: its name: "memory".
        low: it's short when less than this is free.
    """

    what: str
    free: int
    low: int


class Pressure:
    """Tells whether memory or disk run short; safe to share between threads.

    Args:
        folder: where the worker writes; its disk is watched.
        clock: seconds that only go forward.
        root: where the file systems `/proc` and `/sys` are found.
        disk: tells of a folder's disk, as `os.statvfs`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float],
        root: Path = Path("/"),
        disk: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._root = root
        self._disk = disk
        self._lock = threading.Lock()
        self._reason = ""
        self._began = 0.0
        self._looked_at = float("-inf")

    def reason(self) -> str:
        """Return what runs short, for people, or an empty string while there is enough."""
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= LOOK_S:
                self._looked_at = now
                self._learn(self._short(), now)
            return self._reason

    def lasts_s(self) -> float:
        """Return for how long something has been running short, 0 while there is enough."""
        return self._clock() - self._began if self.reason() else 0.0

    def _learn(self, short: str, now: float) -> None:
        if short and not self._reason:
            self._began = now
            log.warning("under pressure, taking no more images", reason=short)
        elif self._reason and not short:
            lasted_s = round(now - self._began, 1)
            log.info("pressure has passed, taking images again", after_s=lasted_s)
        self._reason = short

    def _short(self) -> str:
        margin = RELIEF if self._reason else 1.0
        short = [each for each in self._supplies() if each.free < each.low * margin]
        return ", ".join(f"{each.what} runs short: {_readable(each)} free" for each in short)

    def _supplies(self) -> Iterator[Supply]:
        for each in memories(self._root):
            yield Supply("memory", each.free, min(each.total // 10, MEMORY_LOW))
        try:
            disk = self._disk(self._folder)
        except OSError:  # whoever needs the folder will say so
            return
        block = disk.f_frsize
        low = min(disk.f_blocks * block // 20, DISK_LOW)
        yield Supply(f"disk of {self._folder}", disk.f_bavail * block, low)
        # Some file systems make inodes as needed, and say that they have none.
        low = min(disk.f_files // 20, INODES_LOW)
        yield Supply(f"inodes of {self._folder}", disk.f_favail, low)


def relieve(fetching: Stage[Image], leases: Leases) -> int:
    """Let others have at once what nobody here has begun on; return how many messages.

    Args:
        fetching: the stage where images begin their way.
    """
    waiting = fetching.take_back()
    counts = Counter(image.delivery for image in waiting)
    whole = {
        each
        for each, count in counts.items()
        # Of a message with several images some may be under way: all of them are finished here.
        if count == len(each.unfinished)
        # Each return uses up a try, and others may be under pressure too.
        and each.message.receives <= SPARED_TRIES
    }
    fetching.put(image for image in waiting if image.delivery not in whole)
    if whole:
        leases.give_back(whole, 0)
    return len(whole)


def _readable(supply: Supply) -> str:
    if supply.what.startswith("inodes"):
        return f"{supply.free:,}"
    return f"{supply.free // MIB:,} MiB"
