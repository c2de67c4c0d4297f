"""An image as it goes through the worker, from its message to its result."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from imagefleet_core.jobs import Request, Result
from imagefleet_worker.leases import Delivery
from imagefleet_worker.recipe import Picture


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An image that was asked for, and the message that asked."""

    delivery: Delivery
    request: Request


@dataclass(frozen=True, slots=True, eq=False)
class Fetched(Image):
    """An image's file, and the memory it takes."""

    started_at: datetime
    data: bytes
    memory: ExitStack


@dataclass(frozen=True, slots=True, eq=False)
class Decoded(Image):
    """An image's pixels as the processor's recipe wants them, and the memory they take."""

    started_at: datetime
    picture: Picture
    memory: ExitStack


@dataclass(frozen=True, slots=True, eq=False)
class Finished(Image):
    """An image with its result."""

    result: Result
