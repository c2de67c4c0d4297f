"""The runs that make up a round of the worker's benchmark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagefleet_scripts.bench.kit import emulated, photographs, tested
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.photographs import Photograph
from imagefleet_scripts.bench.kit.place import Place, Stored
from imagefleet_scripts.bench.kit.process_tree import Sample, Watch, cpu_between

KIT = "imagefleet_scripts.bench.kit"
# Images before and after the steady stretch: about what a worker holds at once, a second's work.
# In the CPU's own precision that is some more: its queue is empty a moment before the stretch ends.
RAMP = 80
# Beyond this a run has failed, whatever it is.
RUN_S = 300
# An image is one GET and one PUT; whoever makes fewer calls than images goes past the proxy.
CALLS_PER_IMAGE = 2


@dataclass(frozen=True)
class Speed:
    """How fast a steady stretch went; CPU seconds an image are those of all processes."""

    images_per_s: float
    cpu_s: float


@dataclass(frozen=True)
class Peak:
    """The most memory that a worker took, in MB of 10^6 bytes.

    Attributes:
        pss_mb: of all its processes at one moment; pages they share count once.
        rss_sum_mb: each one's own peak, added up.
    """

    images_per_s: float
    pss_mb: float
    rss_sum_mb: float


class Runs:
    """Measures on one core, over one emulator that runs on another.

    Args:
        core: the one for whatever is measured.
        endpoint: the emulator's URL.
        folder: for logs.
    """

    def __init__(self, core: int, endpoint: str, folder: Path) -> None:
        self._core = core
        self._endpoint = endpoint
        self._folder = folder

    def bare(self, images: int) -> Speed:
        """Measure the loop without AWS."""
        return Speed(**tested.answer(self._core, f"{KIT}.bare", "--images", str(images)))

    def worker(self, images: int, precision: str = "f32", delay_ms: float | None = None) -> Speed:
        """Measure the worker; the photographs' labels are those of `f32`.

        Args:
            delay_ms: how late a proxy lets each call to AWS be, even 0; None for no proxy.
        """
        with self._aws(images, delay_ms) as endpoint:
            place = _steady_place(images)
            environment = self._environment(place, endpoint) | {"IMAGEFLEET_PRECISION": precision}
            speed = self._steady(place, images, "imagefleet_worker", environment=environment)
            place.require_right(labels_may_differ=precision != "f32")
        return speed

    def usual_way(self, images: int, delay_ms: float | None = None) -> Speed:
        """Measure the baseline; `delay_ms` as for the worker."""
        with self._aws(images, delay_ms) as endpoint:
            place = _steady_place(images)
            arguments = (f"{KIT}.usual_way", "--prefix", place.settings.prefix)
            environment = {"AWS_ENDPOINT_URL": endpoint}
            return self._steady(place, images, *arguments, environment=environment)

    def memory(self, images: int) -> Peak:
        """Measure the worker's memory with 12-megapixel images."""
        place = Place()
        place.submit(_some(photographs.large(), images))
        environment = self._environment(place, self._endpoint)
        with self._watched("imagefleet_worker", environment, every_s=0.02, memory=True) as watch:
            stored = place.await_results(RUN_S, watch.alive)
        place.require_right()
        return Peak(
            images_per_s=(len(stored) - 1) / (stored[-1].at - stored[0].at),
            pss_mb=max(each.pss_mb for each in watch.samples),
            rss_sum_mb=max(each.peak_rss_mb for each in watch.samples),
        )

    @contextmanager
    def _aws(self, images: int, delay_ms: float | None) -> Iterator[str]:
        """Yield the emulator's URL, or that of a proxy; raises `BenchError` if it was passed by."""
        if delay_ms is None:
            yield self._endpoint
            return
        with emulated.delayed(self._endpoint, delay_ms) as proxy:
            yield f"http://127.0.0.1:{proxy.port}"
        if proxy.requests < images * CALLS_PER_IMAGE:
            raise BenchError(f"only {proxy.requests} calls of {images} images met the proxy")

    def _steady(
        self,
        place: Place,
        images: int,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
    ) -> Speed:
        with self._watched(module, environment, *arguments) as watch:
            stored = place.await_results(RUN_S, watch.alive)
            place.require_empty()
        return speed_of(stored[RAMP - 1 : RAMP + images], watch.samples)

    @contextmanager
    def _watched(
        self,
        module: str,
        environment: Mapping[str, str],
        *arguments: str,
        every_s: float = 0.05,
        memory: bool = False,
    ) -> Iterator[Watch]:
        log = self._folder / f"{module}.log"
        with (
            tested.running(self._core, module, *arguments, environment=environment, log=log) as it,
            Watch(it, every_s=every_s, memory=memory) as watch,
        ):
            yield watch

    def _environment(self, place: Place, endpoint: str) -> dict[str, str]:
        """Return what a worker finds in its environment; its settings are its defaults."""
        return {
            "AWS_ENDPOINT_URL": endpoint,
            "IMAGEFLEET_PREFIX": place.settings.prefix,
            "IMAGEFLEET_HEARTBEAT_FILE": str(self._folder / "alive"),
            "IMAGEFLEET_LOG_FORMAT": "json",
            # As the worker's image has it.
            "MALLOC_ARENA_MAX": "2",
        }


def speed_of(stretch: Sequence[Stored], samples: Sequence[Sample]) -> Speed:
    """Return the speed from the first result to the last.

    The first was done before the stretch, so it isn't counted.
    """
    images, begin, end = len(stretch) - 1, stretch[0].at, stretch[-1].at
    return Speed(images / (end - begin), cpu_between(samples, begin, end) / images)


def _steady_place(images: int) -> Place:
    """Return a place with images for a steady stretch and for what is before and after it."""
    place = Place()
    place.submit(_some(photographs.samples(), images + 2 * RAMP))
    return place


def _some(photographs: Sequence[Photograph], count: int) -> list[Photograph]:
    return list(itertools.islice(itertools.cycle(photographs), count))
