"""An image as it goes through the worker, from its message to its result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from imagefleet_core.jobs import Request, Result
from imagefleet_worker.leases import Delivery

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An image that was asked for, and the message that asked."""

    delivery: Delivery
    request: Request


@dataclass(frozen=True, slots=True, eq=False)
class Decoded(Image):
    """An image with its pixels, uint8 of the classifier's (side, side, 3)."""

    started_at: datetime
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Finished(Image):
    """An image with its result."""

    result: Result
