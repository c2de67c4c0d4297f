"""The store: images and results in S3, which decides what is true.

`Store` is what the tiers ask for; `S3Store` is it on S3. An image is accepted once it is in the
input bucket and finished once its result is in the results bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import IO, TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from imagefleet_core import keys
from imagefleet_core.aws import error_code, explained
from imagefleet_core.errors import ObjectMissing, ObjectTooLarge
from imagefleet_core.jobs import JobId, Result, Status

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING = {"NoSuchKey", "404"}
# What S3 answers where a conditional write finds the object there, or another write under way.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_EXISTS = {"PreconditionFailed", "412", "ConditionalRequestConflict"}


class Store(Protocol):
    """Images and results. Every method raises `Unavailable` when the store does not answer."""

    def put_image(self, key: str, body: bytes | IO[bytes], content_type: str) -> None:
        """Keep an uploaded image under `key`."""

    def get_image(self, key: str, max_bytes: int) -> bytes:
        """Return an image's bytes; raises `ObjectMissing` or `ObjectTooLarge`."""

    def delete_image(self, key: str) -> None:
        """Forget an image; one that is not there is no error."""

    def put_result(self, result: Result) -> bool:
        """Keep a result; return whether it now is the one that counts.

        A `failed` result never replaces one that is there, so that a late failure of an image
        processed twice cannot hide its label.
        """

    def get_result(self, job: JobId) -> Result | None:
        """Return a job's result, or None while it has none; raises `DecodeError`."""

    def image_names(self, batch: str) -> dict[int, str]:
        """Return the safe file names of a batch's images by their numbers."""

    def result_numbers(self, batch: str) -> set[int]:
        """Return the numbers of a batch's images that have a result."""

    def ping(self) -> None:
        """Return if both buckets answer."""


class S3Store:
    """The store on S3."""

    def __init__(self, s3: S3Client, *, input_bucket: str, results_bucket: str) -> None:
        self._s3 = s3
        self._input = input_bucket
        self._results = results_bucket

    def put_image(self, key: str, body: bytes | IO[bytes], content_type: str) -> None:
        """Keep an uploaded image under `key`."""
        with explained(f"storing {key}"):
            self._s3.put_object(Bucket=self._input, Key=key, Body=body, ContentType=content_type)

    def get_image(self, key: str, max_bytes: int) -> bytes:
        """Return an image's bytes; raises `ObjectMissing` or `ObjectTooLarge`."""
        with explained(f"fetching {key}"):
            try:
                answer = self._s3.get_object(Bucket=self._input, Key=key)
            except ClientError as error:
                if error_code(error) in _MISSING:
                    raise ObjectMissing(f"the image {key} is not in {self._input}") from error
                raise
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > max_bytes:
                    raise ObjectTooLarge(
                        f"{answer['ContentLength']:,} bytes; at most {max_bytes:,} are accepted"
                    )
                return body.read()

    def delete_image(self, key: str) -> None:
        """Forget an image; one that is not there is no error."""
        with explained(f"deleting {key}"):
            self._s3.delete_object(Bucket=self._input, Key=key)

    def put_result(self, result: Result) -> bool:
        """Keep a result; return whether it now is the one that counts."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if result.status is Status.FAILED else {}
        with explained(f"storing the result of {result.job}"):
            try:
                self._s3.put_object(
                    Bucket=self._results,
                    Key=keys.result_key(result.job),
                    Body=result.encode().encode(),
                    ContentType="application/json",
                    **condition,
                )
            except ClientError as error:
                if condition and error_code(error) in _EXISTS:
                    return False
                raise
            return True

    def get_result(self, job: JobId) -> Result | None:
        """Return a job's result, or None while it has none; raises `DecodeError`."""
        with explained(f"fetching the result of {job}"):
            try:
                answer = self._s3.get_object(Bucket=self._results, Key=keys.result_key(job))
            except ClientError as error:
                if error_code(error) in _MISSING:
                    return None
                raise
            with closing(answer["Body"]) as body:
                return Result.decode(body.read())

    def image_names(self, batch: str) -> dict[int, str]:
        """Return the safe file names of a batch's images by their numbers."""
        found = (keys.parse_input_key(key) for key in self._list(self._input, batch))
        return dict(numbered for numbered in found if numbered)

    def result_numbers(self, batch: str) -> set[int]:
        """Return the numbers of a batch's images that have a result."""
        found = (keys.parse_result_key(key) for key in self._list(self._results, batch))
        return {number for number in found if number is not None}

    def ping(self) -> None:
        """Return if both buckets answer."""
        for bucket in (self._input, self._results):
            with explained(f"looking for the bucket {bucket}"):
                try:
                    self._s3.head_bucket(Bucket=bucket)
                except ClientError as error:
                    if error_code(error) in _MISSING:  # a HEAD has no body to say NoSuchBucket in
                        error.response["Error"]["Code"] = "NoSuchBucket"
                    raise

    def _list(self, bucket: str, batch: str) -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2")
        with explained(f"listing batch {batch}"):
            for page in pages.paginate(Bucket=bucket, Prefix=keys.batch_prefix(batch)):
                for found in page.get("Contents", ()):
                    yield found["Key"]
