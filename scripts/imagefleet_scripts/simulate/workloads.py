"""Workloads: when images come, and how long each keeps a worker busy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from imagefleet_scripts.simulate.work import Seconds

BURSTS = (1, 10, 50, 100, 1_000, 100_000)
SERVICES_S = (0.02, 0.1, 1.0, 5.0)
# The bursts' own service time, if a name tells none: near that of the original design, whose
# published times (72, 132, 210 and 360 s for 1, 10, 50 and 100) fit 5 s an image and an interval
# of 40 s.
USUAL_S = 5.0
# What such a name ends with.
WRONG_PRIOR = "-wrong-prior"
# Those that are simulated for operators who are wrong, too, and how wrong they are.
MISJUDGED = ("burst-10", "burst-100", "burst-1000-0.1s", "burst-1000", "poisson", "spikes")
WRONG = 0.1
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Workload:
    """Images by arrival, in seconds from the start.

    Attributes:
        services: how long each keeps a worker busy.
        belief: what operators take that for, as a share of the truth.
    """

    name: str
    arrivals: Seconds
    services: Seconds
    belief: float = 1

    @property
    def expected_s(self) -> float:
        """The mean time one keeps a worker busy, as far as operators know."""
        return self.belief * float(self.services.mean())


def workloads(seed: int) -> dict[str, Callable[[], Workload]]:
    """Return what makes each workload, by its name."""
    made: dict[str, Callable[[], Workload]] = {}
    for images in BURSTS:
        for service_s in SERVICES_S:
            name = f"burst-{images}" + ("" if service_s == USUAL_S else f"-{service_s:g}s")
            made[name] = lambda n=images, s=service_s, name=name: burst(name, n, s)  # type: ignore[misc]
    for make in (poisson, diurnal, spikes, on_off, heavy_tailed):
        made[make.__name__.replace("_", "-")] = lambda make=make: make(seed)  # type: ignore[misc]
    for name in MISJUDGED:
        made[f"{name}{WRONG_PRIOR}"] = lambda made=made[name]: misjudged(made())  # type: ignore[misc]
    return made


def misjudged(workload: Workload) -> Workload:
    """Return the same to operators who believe that an image takes a tenth of its time."""
    return replace(workload, name=f"{workload.name}{WRONG_PRIOR}", belief=WRONG)


def burst(name: str, images: int, service_s: float) -> Workload:
    """Return all at once, as when somebody uploads a folder."""
    return Workload(name, np.zeros(images), np.full(images, service_s))


def poisson(seed: int) -> Workload:
    """Return an hour of 50 a second, each on its own: five workers' work."""
    return _alike("poisson", _thinned(seed, np.full(HOUR_S, 50.0)), 0.1)


def diurnal(seed: int) -> Workload:
    """Return a day in four hours: from nothing to 150 a second at noon and back."""
    at = np.arange(4 * HOUR_S)
    rate = 75 * (1 - np.cos(2 * np.pi * at / len(at)))
    return _alike("diurnal", _thinned(seed, np.where(rate < 1, 0, rate)), 0.05)


def spikes(seed: int) -> Workload:
    """Return two hours of 5 a second, and every twenty minutes 3,000 within half a minute."""
    rate = np.full(2 * HOUR_S, 5.0)
    for begin in range(600, len(rate), 1200):
        rate[begin : begin + 30] += 100
    return _alike("spikes", _thinned(seed, rate), 0.1)


def on_off(seed: int) -> Workload:
    """Return two hours: five minutes of 40 a second, then ten of nothing."""
    at = np.arange(2 * HOUR_S)
    return _alike("on-off", _thinned(seed, np.where(at % 900 < 300, 40.0, 0.0)), 0.1)


def heavy_tailed(seed: int) -> Workload:
    """Return an hour of 10 a second whose service times are Pareto's: most 0.1 s, some a minute."""
    arrivals = _thinned(seed, np.full(HOUR_S, 10.0))
    sizes = np.random.default_rng(seed).pareto(1.5, len(arrivals))
    return Workload("heavy-tailed", arrivals, np.minimum(60.0, 0.1 * (1 + sizes)))


def _alike(name: str, arrivals: Seconds, service_s: float) -> Workload:
    """Return images whose service times vary a little, as photographs do."""
    generator = np.random.default_rng(len(arrivals))
    services = service_s * generator.gamma(16, 1 / 16, len(arrivals))
    return Workload(name, arrivals, services)


def _thinned(seed: int, rate: Seconds) -> Seconds:
    """Return Poisson arrivals whose rate, an image a second, is given for each second."""
    generator = np.random.default_rng(seed)
    many = generator.poisson(rate)
    arrivals = np.repeat(np.arange(len(rate), dtype=float), many) + generator.random(many.sum())
    arrivals.sort()
    begun: Seconds = arrivals - arrivals[0]
    return begun
