"""Finds the images whose result is a failure, and where the images themselves lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from imagefleet_core import keys
from imagefleet_core.aws import explained
from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId, Request, Result, ids_made_at
from imagefleet_core.s3 import S3Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Results that are read at once: S3 takes some ten milliseconds for each.
CONNECTIONS = 32
# S3 announces an upload this soon after it.
ANNOUNCED_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class FailedImage:
    """An image without a label, and where it lies in the input bucket, if it still does."""

    result: Result
    key: str | None

    @property
    def request(self) -> Request | None:
        """The message that asks for it again; nobody waits for its reply any more."""
        result = self.result
        if self.key is None:
            return None
        return Request(result.job, self.key, result.name, None, result.submitted_at)


class FailedImages:
    """Looks through the results in S3.

    Attributes:
        seen: how many results were looked at.
        unreadable: the keys of those that follow no version of the contract.
    """

    def __init__(self, s3: S3Client, *, input_bucket: str, results_bucket: str) -> None:
        self._s3 = s3
        self._input = input_bucket
        self._results = results_bucket
        self._store = S3Store(s3, input_bucket=input_bucket, results_bucket=results_bucket)
        self._images = lru_cache(64)(self._store.image_names)
        self.seen = 0
        self.unreadable: list[str] = []

    def of_batch(self, batch: str, codes: Collection[str]) -> Iterator[FailedImage]:
        """Yield the images of one batch that failed with one of `codes`."""
        return self._failed(codes, prefix=keys.batch_prefix(batch), start_after="")

    def since(self, moment: datetime | None, codes: Collection[str]) -> Iterator[FailedImage]:
        """Yield the images submitted since a moment that failed with one of `codes`."""
        return self._failed(codes, prefix="", start_after=_made_at(moment) if moment else "")

    def knows(self, batch: str) -> bool:
        """Return whether there is any image of a batch."""
        return bool(self._images(batch))

    def _failed(
        self, codes: Collection[str], *, prefix: str, start_after: str
    ) -> Iterator[FailedImage]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._results, Prefix=prefix, StartAfter=start_after
        )
        with ThreadPoolExecutor(CONNECTIONS) as pool, explained(f"listing {self._results}"):
            for page in pages:
                found = [job for each in page.get("Contents", ()) if (job := _job(each["Key"]))]
                self.seen += len(found)
                for result in pool.map(self._read, found):
                    if result and result.error and result.error.code in codes:
                        yield FailedImage(result, self._key(result))

    def _read(self, job: JobId) -> Result | None:
        try:
            return self._store.get_result(job)
        except DecodeError:
            self.unreadable.append(keys.result_key(job))
            return None

    def _key(self, result: Result) -> str | None:
        name = self._images(result.job.batch).get(result.job.number)
        if name is None:
            return self._store.image_key(result.job) or self._inbox_key(result)
        return f"{keys.input_key_prefix(result.job)}{name}"

    def _inbox_key(self, result: Result) -> str | None:
        """Return where the image lies if it came through the inbox; its result has but its name."""
        uploads = [
            (key, result.submitted_at - at)
            for key, at in self._inbox[result.name]
            if result.submitted_at - at >= -ANNOUNCED_WITHIN  # else it was replaced since
        ]
        # Among several of one name the time tells; a large one carries the time it was begun.
        likely = [each for each in uploads if each[1] <= ANNOUNCED_WITHIN] or uploads
        return likely[0][0] if len(likely) == 1 else None

    @cached_property
    def _inbox(self) -> defaultdict[str, list[tuple[str, datetime]]]:
        """The keys and times of all uploads to the inbox, by their names."""
        found = defaultdict(list)
        pages = self._s3.get_paginator("list_objects_v2")
        with explained(f"listing {self._input}"):
            for page in pages.paginate(Bucket=self._input, Prefix=keys.INBOX):
                for each in page.get("Contents", ()):
                    found[keys.clean_name(each["Key"])].append((each["Key"], each["LastModified"]))
        return found


def _made_at(moment: datetime) -> str:
    return ids_made_at(int(moment.timestamp() * 1000))


def _job(result_key: str) -> JobId | None:
    number = keys.parse_result_key(result_key)
    try:
        return JobId.parse(f"{result_key.partition('/')[0]}-{number:04}") if number else None
    except DecodeError:  # not one of ours
        return None
