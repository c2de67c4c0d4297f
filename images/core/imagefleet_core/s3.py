"""The store on S3.

Images and results go over `objects`, which costs a third of boto3; what is rarer goes over boto3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import formatdate, parsedate_to_datetime
from typing import IO, TYPE_CHECKING
from uuid import UUID

from botocore.exceptions import ClientError, NoCredentialsError

from imagefleet_core import keys
from imagefleet_core.aws import error_code, explained
from imagefleet_core.connections import Reply
from imagefleet_core.errors import (
    BatchDeleted,
    DecodeError,
    ObjectMissing,
    ObjectTooLarge,
    Unavailable,
)
from imagefleet_core.inbox import ANNOUNCED_WITHIN_S
from imagefleet_core.jobs import JobId, Result, Status, made_at_s
from imagefleet_core.objects import Objects
from imagefleet_core.store import BatchPage, Form, ImagePiece, Note, ResultList

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A result is under 1 KiB; what a processor adds to it may make it larger, but never this large.
MAX_RESULT_BYTES = 8 * 1024 * 1024

_MISSING = {"NoSuchKey", "404"}
_EXISTS = {"PreconditionFailed", "412"}
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_DELETED_AT_ONCE = 1000
# What a range of an object without any bytes is answered with.
_NO_SUCH_RANGE = {"InvalidRange", "416"}


class S3Store:
    """The store on S3.

    Args:
        pause: waits for so many seconds before a call is tried again.
    """

    def __init__(
        self,
        s3: S3Client,
        *,
        input_bucket: str,
        results_bucket: str,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._objects = Objects(s3, pause)
        self._input = input_bucket
        self._results = results_bucket

    def put_image(self, key: str, body: bytes | IO[bytes], content_type: str) -> None:
        """Keep an uploaded image under `key`."""
        with explained(f"storing {key}"):
            self._objects.put(self._input, key, body, content_type)

    def get_image(
        self, key: str, max_bytes: int, admit: Callable[[int], None] | None = None
    ) -> bytes:
        """Return an image's bytes; raises `ObjectMissing` or `ObjectTooLarge`."""
        with explained(f"fetching {key}"), self._open_image(key) as reply:
            size = reply.length
            if size is not None and size > max_bytes:
                raise ObjectTooLarge(f"{size:,} bytes; at most {max_bytes:,} are accepted")
            if admit:
                admit(max_bytes if size is None else size)
            data = reply.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ObjectTooLarge(f"at most {max_bytes:,} bytes are accepted")
        return data

    def upload_form(self, key: str, content_type: str, *, max_bytes: int, life_s: int) -> Form:
        """Return a form that uploads one image under `key`, for so many seconds; makes no call."""
        kind = {"Content-Type": content_type}
        with explained("signing a form"):
            try:
                form = self._s3.generate_presigned_post(
                    self._input,
                    key,
                    Fields=dict(kind),
                    Conditions=[kind, ["content-length-range", 1, max_bytes]],
                    ExpiresIn=life_s,
                )
            except AttributeError as error:  # of None, which botocore has for its credentials
                raise NoCredentialsError from error
        return Form(form["url"], form["fields"])

    def image_key(self, job: JobId) -> str | None:
        """Return where a job's image lies, or None; a client may have put it into the inbox."""
        with explained(f"looking for the image of {job}"):
            for prefix in (keys.input_key_prefix(job), keys.inbox_key_prefix(job)):
                page = self._s3.list_objects_v2(Bucket=self._input, Prefix=prefix, MaxKeys=1)
                for found in page.get("Contents", ()):
                    return found["Key"]
        return None

    def dropped_key(self, job: JobId) -> str | None:
        """Return where a job's image lies that came to the inbox without a form, or None."""
        try:
            result = self.get_result(job)
        except DecodeError:
            return None
        key = keys.dropped_key(result.key) if result and result.key else None
        if key is None:
            return None
        latest = made_at_s(UUID(job.batch)) + ANNOUNCED_WITHIN_S
        with explained(f"looking for the image of {job}"):
            page = self._s3.list_objects_v2(Bucket=self._input, Prefix=key, MaxKeys=1)
        for found in page.get("Contents", ()):
            if found["Key"] == key and found["LastModified"].timestamp() <= latest:
                return key
        return None

    def read_image(self, key: str, start: int, at_most: int) -> ImagePiece:
        """Return up to `at_most` bytes of an image from byte `start`; raises `ObjectMissing`."""
        wanted = f"bytes={start}-{start + at_most - 1}"
        with explained(f"fetching {key}"):
            try:
                reply = self._open_image(key, wanted)
            except ClientError as error:
                if error_code(error) in _NO_SUCH_RANGE:
                    return ImagePiece(b"", 0, "")
                raise
            with reply:
                size = int(reply.headers["content-range"].rpartition("/")[2])
                # One more than there are, as only the end of a body sets its connection free.
                return ImagePiece(reply.read(at_most + 1), size, reply.headers["etag"])

    def put_result(self, result: Result) -> bool:
        """Keep a result; return whether it now is the one that counts."""
        key, body = keys.result_key(result.job), result.encode().encode()
        only_new = result.status is Status.FAILED
        if only_new and self.is_deleted(result.job.batch):
            return False
        with explained(f"storing the result of {result.job}"):
            try:
                self._objects.put(self._results, key, body, "application/json", only_new=only_new)
            except ClientError as error:
                if not only_new or error_code(error) not in _EXISTS:
                    raise
                # It may be there from this very call: a try whose answer was lost did its work.
                there = self._read(key)
                return there is not None and there[0] == body
            return True

    def get_result(self, job: JobId) -> Result | None:
        """Return a job's result, or None while it has none; raises `DecodeError`."""
        with explained(f"fetching the result of {job}"):
            found = self._read(keys.result_key(job))
        return Result.decode(found[0]) if found else None

    def image_names(self, batch: str) -> dict[int, str]:
        """Return the safe file names of a batch's images by their numbers."""
        listed = self._list(self._input, keys.batch_prefix(batch))
        return dict(found for found in map(keys.parse_input_key, listed) if found)

    def inbox_numbers(self, batch: str) -> set[int]:
        """Return the numbers of a batch's images that clients uploaded themselves."""
        listed = self._list(self._input, keys.inbox_prefix(batch))
        return {found[0] for found in map(keys.parse_input_key, listed) if found}

    def list_results(self, batch: str) -> ResultList:
        """Return what there is of a batch beside its images; raises `BatchDeleted`."""
        found = set(self._list(self._results, keys.batch_prefix(batch)))
        if keys.deletion_key(batch) in found:
            raise BatchDeleted(f"the batch {batch} was deleted")
        numbers = {number for number in map(keys.parse_result_key, found) if number is not None}
        return ResultList(numbers, keys.awaited_key(batch) in found)

    def result_numbers(self, batch: str) -> set[int]:
        """Return the numbers of a batch's images that have a result; raises `BatchDeleted`."""
        return self.list_results(batch).numbers

    def batches_from(self, start: str) -> BatchPage:
        """Return the first batches, about a thousand, whose ids sort after `start`."""
        with explained("listing batches"):
            pages = [self._batches(bucket, start) for bucket in (self._input, self._results)]
        # Where one bucket has more than it told, the other tells nothing of those that follow.
        ends = [page.ids[-1] for page in pages if page.more]
        ids = sorted({each for page in pages for each in page.ids})
        return BatchPage([each for each in ids if all(each <= end for end in ends)], bool(ends))

    def delete_batch(self, batch: str) -> bool:
        """Forget the images and results of a batch for good; return whether it was ever there."""
        mark, prefix = keys.deletion_key(batch), keys.batch_prefix(batch)
        places = [
            (self._results, prefix),
            (self._input, prefix),
            (self._input, keys.inbox_prefix(batch)),
        ]
        if not any(key for place in places for key in self._list(*place)):
            return False
        with explained(f"deleting batch {batch}"):
            # First, so that nothing is told of what is left if the rest fails.
            self._objects.put(self._results, mark, b"", "text/plain")
            # Before the result that tells where it is, and alone, as its key may hold anything.
            if dropped := self.dropped_key(JobId(batch, 1)):
                self._s3.delete_object(Bucket=self._input, Key=dropped)
        for bucket, where in places:
            found = [key for key in self._list(bucket, where) if key != mark]
            for i in range(0, len(found), _DELETED_AT_ONCE):
                self._delete(bucket, found[i : i + _DELETED_AT_ONCE])
        return True

    def is_deleted(self, batch: str) -> bool:
        """Return whether a batch was deleted."""
        with explained(f"looking for batch {batch}"):
            return self._read(keys.deletion_key(batch)) is not None

    def read_note(self, key: str) -> Note | None:
        """Return a note, or None where there is none."""
        with explained(f"fetching {key}"):
            found = self._read(key)
        if found is None:
            return None
        body, headers = found
        return Note(body, headers.get("etag", ""), _age_s(headers))

    def write_note(self, key: str, body: bytes, replacing: str = "") -> str | None:
        """Keep a note and return its version, or None where another process was faster."""
        with explained(f"storing {key}"):
            try:
                return self._objects.put(
                    self._results,
                    key,
                    body,
                    "application/json",
                    only_new=not replacing,
                    replacing=replacing,
                )
            except ClientError as error:
                if error_code(error) not in _EXISTS | _MISSING:
                    raise
        # It may be there from this very call: a try whose answer was lost did its work.
        note = self.read_note(key)
        return note.version if note and note.body == body else None

    def delete_note(self, key: str) -> None:
        """Forget a note; one that is not there is no error."""
        with explained(f"deleting {key}"):
            self._s3.delete_object(Bucket=self._results, Key=key)

    def note_keys(self, prefix: str, after: str = "", at_most: int = 1000) -> list[str]:
        """Return the keys of the first notes under a prefix and after a key, up to a thousand."""
        with explained(f"listing {prefix}"):
            page = self._s3.list_objects_v2(
                Bucket=self._results, Prefix=prefix, StartAfter=after, MaxKeys=at_most
            )
        return [found["Key"] for found in page.get("Contents", ())]

    def ping(self) -> None:
        """Return if both buckets answer."""
        for bucket in (self._input, self._results):
            with explained(f"looking for the bucket {bucket}"):
                try:
                    self._objects.look(bucket)
                except ClientError as error:
                    if error_code(error) in _MISSING:  # a HEAD has no body to say NoSuchBucket in
                        error.response["Error"]["Code"] = "NoSuchBucket"
                    raise

    def _open_image(self, key: str, wanted: str = "") -> Reply:
        """Return the answer whose body is an image, or a range of it; raises `ObjectMissing`."""
        try:
            return self._objects.get(self._input, key, wanted)
        except ClientError as error:
            if error_code(error) in _MISSING:
                raise ObjectMissing(f"the image {key} is not in {self._input}") from error
            raise

    def _read(self, key: str) -> tuple[bytes, Mapping[str, str]] | None:
        """Return what lies in the results bucket, and its headers; None where nothing does."""
        try:
            with self._objects.get(self._results, key) as reply:
                return reply.read(MAX_RESULT_BYTES), reply.headers
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            raise

    def _batches(self, bucket: str, start: str) -> BatchPage:
        page = self._s3.list_objects_v2(Bucket=bucket, Delimiter="/", StartAfter=start)
        ids = [found["Prefix"].removesuffix("/") for found in page.get("CommonPrefixes", ())]
        return BatchPage(ids, page["IsTruncated"] and bool(ids))

    def _delete(self, bucket: str, found: Sequence[str]) -> None:
        with explained(f"deleting from {bucket}"):
            answer = self._s3.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in found], "Quiet": True}
            )
        for error in answer.get("Errors", ()):
            raise Unavailable(f"deleting {error['Key']}: {error['Code']}: {error['Message']}")

    def _list(self, bucket: str, prefix: str) -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2")
        with explained(f"listing {prefix}"):
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield found["Key"]


def _age_s(headers: Mapping[str, str]) -> float:
    """Return how old an object is, by the clock of the server that sent these headers."""
    sent = headers.get("date") or formatdate(usegmt=True)
    age = parsedate_to_datetime(sent) - parsedate_to_datetime(headers["last-modified"])
    return max(0.0, age.total_seconds())
