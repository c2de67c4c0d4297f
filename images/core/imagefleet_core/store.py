"""The store: images and results, which decides what is true.

`Store` is what the tiers ask for; `s3.S3Store` is it on S3. An image is accepted once it is in the
input bucket and finished once its result is in the results bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Protocol

from imagefleet_core.jobs import JobId, Result


@dataclass(frozen=True, slots=True)
class ImagePiece:
    """Some bytes of an image.

    Attributes:
        size: the bytes of the whole image.
        version: differs if the image under this key was replaced, and is the same for the same.
    """

    data: bytes
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Some batches in the order of their ids, none of those in between left out.

    Attributes:
        more: whether there are further ones, or may be.
    """

    ids: list[str]
    more: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Something to be remembered for a while, which several processes may want to write.

    Attributes:
        version: differs for each that was written.
        age_s: seconds since then by the store's own clock, in whole ones; hosts' clocks may differ.
    """

    body: bytes
    version: str
    age_s: float


@dataclass(frozen=True, slots=True)
class ResultList:
    """What there is of a batch beside its images.

    Attributes:
        numbers: of its images that have a result.
        awaited: whether it is noted what clients are to upload of it (see `keys.awaited_key`).
    """

    numbers: set[int]
    awaited: bool


@dataclass(frozen=True, slots=True)
class Form:
    """A form with which a client uploads one image to the bucket itself.

    Attributes:
        url: where it is posted to.
        fields: what is sent with it, before the file.
    """

    url: str
    fields: dict[str, str]


class Store(Protocol):
    """Images and results. Every method raises `Unavailable` when the store does not answer."""

    def put_image(self, key: str, body: bytes | IO[bytes], content_type: str) -> None:
        """Keep an uploaded image under `key`."""

    def get_image(
        self, key: str, max_bytes: int, admit: Callable[[int], None] | None = None
    ) -> bytes:
        """Return an image's bytes; raises `ObjectMissing` or `ObjectTooLarge`.

        Args:
            admit: called at most once, with the image's size in bytes, before any of it is read;
                it may wait until there is room, or raise. Where the size isn't known beforehand
                it is told `max_bytes`.
        """

    def upload_form(self, key: str, content_type: str, *, max_bytes: int, life_s: int) -> Form:
        """Return a form that uploads one image under `key`, for so many seconds; makes no call.

        Args:
            content_type: the one it must be sent with.
            max_bytes: what S3 takes at most; an empty file it refuses as well.
        """

    def image_key(self, job: JobId) -> str | None:
        """Return where a job's image lies, or None; a client may have put it into the inbox."""

    def dropped_key(self, job: JobId) -> str | None:
        """Return where a job's image lies that came to the inbox without a form, or None.

        Its result tells the key, so there is none before that. Nor is there if something else was
        put there since, which is another job's image.
        """

    def read_image(self, key: str, start: int, at_most: int) -> ImagePiece:
        """Return up to `at_most` bytes of an image from byte `start`; raises `ObjectMissing`."""

    def put_result(self, result: Result) -> bool:
        """Keep a result; return whether it now is the one that counts.

        A `failed` result never replaces one that is there, so that a late failure of an image
        processed twice cannot hide its label; nor is one kept of a batch that was deleted, whose
        images fail for that reason alone.
        """

    def get_result(self, job: JobId) -> Result | None:
        """Return a job's result, or None while it has none; raises `DecodeError`."""

    def image_names(self, batch: str) -> dict[int, str]:
        """Return the safe file names of a batch's images by their numbers."""

    def inbox_numbers(self, batch: str) -> set[int]:
        """Return the numbers of a batch's images that clients uploaded themselves."""

    def list_results(self, batch: str) -> ResultList:
        """Return what there is of a batch beside its images; raises `BatchDeleted`."""

    def result_numbers(self, batch: str) -> set[int]:
        """Return the numbers of a batch's images that have a result; raises `BatchDeleted`."""

    def batches_from(self, start: str) -> BatchPage:
        """Return the first batches, about a thousand, whose ids sort after `start`."""

    def delete_batch(self, batch: str) -> bool:
        """Forget the images and results of a batch for good; return whether it was ever there.

        An image that came to the inbox without a form goes with its result, see `dropped_key`. A
        mark remains, so that what comes of its requests and of its images in work is not told.
        Doing it again removes what came since.
        """

    def is_deleted(self, batch: str) -> bool:
        """Return whether a batch was deleted."""

    def read_note(self, key: str) -> Note | None:
        """Return a note, or None where there is none."""

    def write_note(self, key: str, body: bytes, replacing: str = "") -> str | None:
        """Keep a note and return its version, or None where another process was faster.

        Args:
            body: must be one that nobody else would write.
            replacing: the version of the note that it takes the place of, which must still be
                there; where none is given, no note may be.
        """

    def delete_note(self, key: str) -> None:
        """Forget a note; one that is not there is no error."""

    def note_keys(self, prefix: str, after: str = "", at_most: int = 1000) -> list[str]:
        """Return the keys of the first notes under a prefix and after a key, up to a thousand."""

    def ping(self) -> None:
        """Return if both buckets answer."""
