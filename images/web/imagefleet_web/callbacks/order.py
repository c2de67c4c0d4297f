"""What an upload orders: that a URL is told of its batch, or nothing."""

from __future__ import annotations

from imagefleet_web.callbacks.keeper import Keeper
from imagefleet_web.uploads.judging import Upload


class NoCallback:
    """Nobody is to be told.

    Attributes:
        url: what is to be told, empty for nothing.
    """

    url = ""

    def keep(self, upload: Upload) -> None:
        """Note nothing."""


class Callback(NoCallback):
    """A URL is to be told once an upload's batch is finished."""

    def __init__(self, keeper: Keeper, url: str, owner: str | None) -> None:
        self.url = url
        self._keeper = keeper
        self._owner = owner

    def keep(self, upload: Upload) -> None:
        """Note it, before anything is queued; raises `Unavailable`.

        Where the upload fails after that, its batch is deleted, and the keeper finds so.
        """
        numbers = [one.job.number for one in upload.taken]
        self._keeper.keep(upload.batch, numbers, self.url, self._owner)
