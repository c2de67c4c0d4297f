"""The runs of the web tier's benchmark."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from imagefleet_scripts.bench.kit import bare_poll, crowd, emulated, serving, tested
from imagefleet_scripts.bench.kit.health_probe import probing
from imagefleet_scripts.bench.kit.photographs import SAMPLES
from imagefleet_scripts.bench.kit.place import Place
from imagefleet_scripts.bench.kit.played_worker import PlayedWorker
from imagefleet_scripts.bench.kit.process_tree import Watch, sample
from imagefleet_scripts.bench.kit.serving import Served
from imagefleet_scripts.bench.kit.telling import Telling

KIT = "imagefleet_scripts.bench.kit"
IMAGE = SAMPLES / "chelsea.jpg"
WARM_UP = 100
TOLD_WARM_UP = 3
CROWD_S = 120
CALM_S = 4
# The most that the web tier takes of one file by default.
LARGE_BYTES = 20 * 1024 * 1024


@dataclass(frozen=True)
class Speed:
    """How fast uploads went.

    Attributes:
        uploads_per_s: by the clock.
        cpu_s: CPU seconds of the serving processes an upload.
        share: of its core that the server used; far under 1, something else held it up.
        p50_s: how long one upload took, and `p99_s`.
    """

    uploads_per_s: float
    cpu_s: float
    share: float
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class Crowd:
    """How a server bore many who waited.

    Attributes:
        pss_mb: the most memory of all its processes at one moment, in MB of 10^6 bytes.
        rss_sum_mb: the peak of each, added up.
        calm_s: how long each `/healthz` took while they waited.
        busy_s: the same while they were answered.
        told_s: from the last reply until all had their answers.
    """

    pss_mb: float
    rss_sum_mb: float
    calm_s: list[float]
    busy_s: list[float]
    told_s: float


@dataclass(frozen=True)
class Streaming:
    """What large uploads at once took, in MB of 10^6 bytes.

    Attributes:
        base_mb: memory after some small uploads, before the large ones.
        peak_mb: the most memory.
    """

    base_mb: float
    peak_mb: float
    mb_per_s: float


class WebRuns:
    """Measures servers on one core, each over an emulator of its own that runs on another.

    Args:
        core: the one for whatever is measured.
        folder: for logs and keys.
    """

    def __init__(self, core: int, folder: Path) -> None:
        self._core = core
        self._folder = folder

    def usual_way(self, uploads: int, connections: int) -> Speed:
        """Measure the baseline."""
        with emulated.running():
            server = serving.usual_way(self._core, Place(), self._folder)
            return _speed(server, uploads, connections, idempotent=False)

    def web_tier(self, uploads: int, connections: int, *, idempotent: bool = False) -> Speed:
        """Measure the web tier with all its features on."""
        with emulated.running():
            return _speed(self._serve(Place()), uploads, connections, idempotent=idempotent)

    def told(self, way: str, count: int) -> list[float]:
        """Return the seconds from a stored result to the client's having it, one by one."""
        with emulated.running():
            place = Place()
            with self._serve(place) as served:
                telling = Telling(served, PlayedWorker(place), IMAGE)
                telling.times(way, TOLD_WARM_UP)
                return telling.times(way, count)

    def polled(self, count: int) -> list[float]:
        """Return the seconds from a reply that is sent to a bare long poll that has it."""
        with emulated.running():
            return bare_poll.times(Place(), count)

    def crowd(self, clients: int) -> Crowd:
        """Let many wait at one process, and answer them all."""
        with emulated.running():
            place = Place()
            worker = PlayedWorker(place)
            with (
                self._serve(place) as served,
                Watch(served.process, every_s=0.25, memory=True) as watch,
                ThreadPoolExecutor(1) as pool,
            ):
                waiting = pool.submit(crowd.wait, served, IMAGE, clients)
                worker.await_waiting(clients, CROWD_S)
                with probing(served.url) as calm:
                    time.sleep(CALM_S)
                with probing(served.url) as busy:
                    worker.finish(clients)
                    replied = time.monotonic()
                    waiting.result(CROWD_S)
                    told_s = time.monotonic() - replied
                last = sample(served.process.pid, memory=True)
        pss_mb = max(each.pss_mb for each in (*watch.samples, last))
        return Crowd(pss_mb, last.peak_rss_mb, calm, busy, told_s)

    def streaming(self, uploads: int) -> Streaming:
        """Upload as large files as may be, many at once."""
        with emulated.running(), self._serve(Place()) as served:
            _load(served, WARM_UP, connections=8, idempotent=False)
            base = sample(served.process.pid, memory=True)
            arguments = ("--bytes", str(LARGE_BYTES), "--uploads", str(uploads))
            with Watch(served.process, every_s=0.02, memory=True) as watch:
                told = tested.answer(
                    None, f"{KIT}.large_load", *_about(served), *arguments, "--key", served.key
                )
        peak_mb = max(each.pss_mb for each in watch.samples)
        return Streaming(base.pss_mb, peak_mb, uploads * LARGE_BYTES / 1e6 / told["seconds"])

    def _serve(self, place: Place) -> AbstractContextManager[Served]:
        return serving.web_tier(self._core, place, self._folder)


def _speed(
    server: AbstractContextManager[Served], uploads: int, connections: int, *, idempotent: bool
) -> Speed:
    with server as served:
        _load(served, WARM_UP, connections, idempotent=idempotent)
        before = sample(served.process.pid)
        told = _load(served, uploads, connections, idempotent=idempotent)
        after = sample(served.process.pid)
    cpu_s = after.cpu_s - before.cpu_s
    return Speed(
        uploads_per_s=told["uploads_per_s"],
        cpu_s=cpu_s / uploads,
        share=cpu_s / told["seconds"],
        p50_s=told["p50_s"],
        p99_s=told["p99_s"],
    )


def _load(served: Served, uploads: int, connections: int, *, idempotent: bool) -> dict[str, float]:
    numbers = ("--uploads", str(uploads), "--connections", str(connections))
    key = ("--key", served.key) if served.key else ()
    flag = ("--idempotent",) if idempotent else ()
    return tested.answer(None, f"{KIT}.upload_load", *_about(served), *numbers, *key, *flag)


def _about(served: Served) -> tuple[str, ...]:
    return ("--url", f"{served.url}api/v1/upload", "--image", str(IMAGE))
