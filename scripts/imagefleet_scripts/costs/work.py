"""How much there is to do, and how fast it is done: docs/evaluation.md's figures, made EC2's.

A vCPU of c7i, c5 or m5 is a hyperthread, half a core. The benchmark had one core to itself, of a
virtual machine that doesn't tell what its cores are. So two vCPUs are taken to do what that one
core did: too little where it was a hyperthread, or where the second one adds something.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp

# `./scripts/bench worker`: the worker over S3 and SQS, on one core, with photographs of 640 x 427.
IMAGES_PER_S = 66.1
MEASURED_MP = 0.273
# `./scripts/bench decode`: a noisy JPEG of 12 megapixels against those, 46.4 - 4.6 and 2.65 ms.
DECODE_S_PER_MP = (0.0464 - 0.0046 - 0.00265) / (12 - MEASURED_MP)
VCPUS_PER_CORE = 2
# A fleet for a stream has so much more than what keeps it busy.
HEADROOM = 1.25


@dataclass(frozen=True, slots=True)
class Month:
    """The images of a month.

    Attributes:
        bursts: in so many bursts of the same size, each from zero workers; None for one by one at
            random, day and night.
        megabytes: of an image's file.
        megapixels: of an image.
    """

    images: int
    bursts: int | None
    megabytes: float = 0.5
    megapixels: float = 2.0

    @property
    def of_a_burst(self) -> float:
        """The images of one burst."""
        return self.images / self.many

    @property
    def many(self) -> int:
        """How many bursts there are; there can't be more than images."""
        return max(1, min(self.bursts or 1, self.images))


def core_s(megapixels: float) -> float:
    """Return the seconds that an image keeps one core busy."""
    return 1 / IMAGES_PER_S + DECODE_S_PER_MP * max(0.0, megapixels - MEASURED_MP)


def instance_s(megapixels: float, vcpus: int = 2) -> float:
    """Return the seconds that an image keeps an instance busy that does nothing else."""
    return core_s(megapixels) * VCPUS_PER_CORE / vcpus


def always_enough(busy: float) -> int:
    """Return how many instances a stream takes that keeps `busy` of them busy, at least one."""
    return max(1, ceil(busy * HEADROOM))


def running(per_s: float, busy: float, hold_s: float) -> float:
    """Return how many instances run on average for images that come at random.

    One that stays for `hold_s` after the last image is there for the share 1 - exp(-rate * hold) of
    the time, as gaps between such arrivals are distributed exponentially.
    """
    enough = always_enough(busy)
    return enough if enough > 1 else 1 - exp(-per_s * hold_s)
