"""What an upload orders: that a URL is told of its batch, or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which needs what needs this
    from imagefleet_web.callbacks.keeper import Keeper


class NoCallback:
    """Nobody is to be told.

    Attributes:
        url: what is to be told, empty for nothing.
    """

    url = ""

    def keep(self, batch: str, numbers: Iterable[int], *, unheard_for_s: float = 0) -> None:
        """Note nothing."""


class Callback(NoCallback):
    """A URL is to be told once an upload's batch is finished."""

    def __init__(self, keeper: Keeper, url: str, owner: str | None) -> None:
        self.url = url
        self._keeper = keeper
        self._owner = owner

    def keep(self, batch: str, numbers: Iterable[int], *, unheard_for_s: float = 0) -> None:
        """Note it, before anything is queued or given out; raises `Unavailable`.

        Where the upload fails after that, its batch is deleted, and the keeper finds so.

        Args:
            numbers: of the batch's jobs.
            unheard_for_s: for how long no reply tells of results.
        """
        self._keeper.keep(batch, numbers, self.url, self._owner, unheard_for_s=unheard_for_s)
