"""Uploaded images, read back from the store piece by piece.

They are passed on from here rather than redirected to a presigned URL of S3. Behind an emulator
such a URL names a host that browsers can't reach; S3 can't send the headers that keep an untrusted
file harmless; and whoever has the URL has the image. The price is that the bytes pass through this
process; they are read by ranges, so a slow client holds one piece in memory and no connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from imagefleet_core import keys
from imagefleet_core.errors import ObjectMissing
from imagefleet_core.formats import recognise
from imagefleet_core.jobs import JobId
from imagefleet_core.store import ImagePiece, Store
from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.uploads import formats

PIECE_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as it was uploaded.

    Attributes:
        name: its file name, without what is special in ASCII.
        content_type: its media type as its first bytes tell, None if it is no picture.
        size: in bytes.
        lasting: whether its bytes stay the same; in the inbox they can be replaced.
        version: tells it from any other image.
        pieces: its bytes; raises `ImagefleetError` if they can't be had to the end.
    """

    name: str
    content_type: str | None
    size: int
    lasting: bool
    version: str
    pieces: Iterator[bytes]


class Images:
    """Opens images; every call to the store goes through one bounded pool."""

    def __init__(self, store: Store, pool: Executor) -> None:
        self._store = store
        self._pool = pool

    def open(self, job: JobId) -> StoredImage:
        """Return a job's image; raises `Problem` where there is none."""
        key = self._pool.submit(self._key, job).result()
        if key is None:
            raise no_image(job)
        named = keys.parse_input_key(key)
        try:
            first = self._read(key, 0)
        except ObjectMissing as error:
            raise no_image(job) from error
        kind = recognise(first.data)
        return StoredImage(
            name=named[1] if named else keys.form_name(key),
            content_type=kind and formats.content_type(kind),
            size=first.size,
            lasting=not key.startswith(keys.INBOX),
            version=first.version.strip('"'),
            pieces=self._pieces(key, first),
        )

    def _key(self, job: JobId) -> str | None:
        return self._store.image_key(job) or self._store.dropped_key(job)

    def _pieces(self, key: str, first: ImagePiece) -> Iterator[bytes]:
        yield first.data
        for start in range(PIECE_BYTES, first.size, PIECE_BYTES):
            piece = self._read(key, start)
            if piece.version != first.version:
                raise ObjectMissing(f"the image {key} was replaced while it was read")
            yield piece.data

    def _read(self, key: str, start: int) -> ImagePiece:
        return self._pool.submit(self._store.read_image, key, start, PIECE_BYTES).result()


def no_image(job: JobId) -> Problem:
    """Return the problem that there is no image of a job."""
    return Problem(
        problems.NO_IMAGE,
        f"There is no image of the job {job}: it never was, was forgotten, or was replaced in the "
        "bucket's inbox.",
    )
