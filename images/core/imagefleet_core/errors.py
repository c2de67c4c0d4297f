"""The errors that cross from core into the tiers; none of them names boto3."""

from __future__ import annotations


class ImagefleetError(Exception):
    """An error whose message is written for the person who reads it."""


class Unavailable(ImagefleetError):
    """A service did not do what was asked of it; trying again later may succeed."""


class Misconfigured(Unavailable):
    """A service refused, and will until a setting, a permission or a resource is put right."""


class ObjectMissing(ImagefleetError):
    """The bucket has no object under that key."""


class ObjectTooLarge(ImagefleetError):
    """The object has more bytes than the reader accepts."""


class BatchDeleted(ImagefleetError):
    """The batch was deleted; what may still come of its images is not wanted."""


class QueueMissing(ImagefleetError):
    """No queue has that name."""


class DecodeError(ImagefleetError):
    """Data from outside did not follow the contract.

    Attributes:
        data: what could not be decoded, kept whole for whoever looks into it.
    """

    def __init__(self, reason: str, data: object) -> None:
        super().__init__(reason)
        self.data = data

    @property
    def excerpt(self) -> str:
        """How the data begins, for a line of the log."""
        return str(self.data)[:500]
