"""Buckets and queues of a measurement's own on the emulator, and the images in them.

Speaks to AWS with plain boto3, so that no figure depends on the code that it is about.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from imagefleet_core import keys, stack
from imagefleet_core.aws import Aws
from imagefleet_core.jobs import JobId, Request, new_batch_id
from imagefleet_core.settings import Settings
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.photographs import Photograph

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

TEMPLATE = Path(__file__).parents[4] / "infra" / "data.yaml"
THREADS = 4
LOOK_S = 0.5


@dataclass(frozen=True)
class Stored:
    """A result and the moment at which S3 says that it was stored, in seconds since the epoch."""

    number: int
    at: float


class Place:
    """One batch of images, in buckets and queues that nothing else uses."""

    def __init__(self) -> None:
        self.settings = Settings(prefix=f"bench-{uuid.uuid4().hex[:8]}")
        stack.apply(
            Aws().cloudformation(),
            f"{self.settings.prefix}-data",
            TEMPLATE.read_text(),
            {"Prefix": self.settings.prefix},
        )
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS)
        self._s3: S3Client = boto3.client("s3", config=config)
        self._sqs: SQSClient = boto3.client("sqs")
        self._requests = self._url(self.settings.requests_queue)
        self._replies_name = f"{self.settings.replies_prefix}bench"
        self._sqs.create_queue(QueueName=self._replies_name)
        self._batch = new_batch_id()
        self._photographs: Sequence[Photograph] = ()

    def submit(self, photographs: Sequence[Photograph]) -> None:
        """Store images and queue them, as the web tier does."""
        self._photographs = photographs
        requests = [self._request(number) for number in range(1, len(photographs) + 1)]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._put, requests, photographs))
        for start in range(0, len(requests), 10):
            self._sqs.send_message_batch(
                QueueUrl=self._requests,
                Entries=[
                    {"Id": str(request.job.number), "MessageBody": request.encode()}
                    for request in requests[start : start + 10]
                ],
            )

    def await_results(
        self, within_s: float, alive: Callable[[], bool], look_s: float = LOOK_S
    ) -> list[Stored]:
        """Return the results in the order in which they were stored, once all are there.

        Args:
            alive: whether whoever should write them still does.

        Raises:
            BenchError: some are missing.
        """
        deadline = time.monotonic() + within_s
        while len(stored := self._stored()) < len(self._photographs):
            if time.monotonic() > deadline or not alive():
                raise BenchError(f"only {len(stored)} of {len(self._photographs)} results")
            time.sleep(look_s)
        return sorted(stored, key=lambda each: each.at)

    def require_right(self, labels_may_differ: bool = False) -> None:
        """Return if every image is done, and has its own label; raises `BenchError`."""
        with ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(self._result, range(1, len(self._photographs) + 1)))
        wrong = [
            f"{photograph.name}: {result['status']}, "
            f"{(result['error'] or result)['message' if result['error'] else 'label']}"
            for photograph, result in zip(self._photographs, results, strict=True)
            if result["status"] != "done"
            or (result["label"] != photograph.label and not labels_may_differ)
        ]
        if wrong:
            raise BenchError(f"{len(wrong)} of {len(results)} results are wrong ({wrong[0]})")

    def require_empty(self, within_s: float = 10) -> None:
        """Return once no request is left; raises `BenchError`."""
        deadline = time.monotonic() + within_s
        while left := self._left():
            if time.monotonic() > deadline:
                raise BenchError(f"{left} messages were not deleted within {within_s:.0f} s")
            time.sleep(LOOK_S)

    def _request(self, number: int) -> Request:
        job, name = JobId(self._batch, number), self._photographs[number - 1].name
        return Request(job, keys.input_key(job, name), name, self._replies_name, datetime.now(UTC))

    def _put(self, request: Request, photograph: Photograph) -> None:
        self._s3.put_object(
            Bucket=self.settings.input_bucket, Key=request.key, Body=photograph.data
        )

    def _stored(self) -> list[Stored]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.settings.results_bucket, Prefix=keys.batch_prefix(self._batch)
        )
        found = [each for page in pages for each in page.get("Contents", ())]
        return [
            Stored(keys.parse_result_key(each["Key"]) or 0, each["LastModified"].timestamp())
            for each in found
        ]

    def _result(self, number: int) -> dict[str, Any]:
        answer = self._s3.get_object(
            Bucket=self.settings.results_bucket, Key=keys.result_key(JobId(self._batch, number))
        )
        result: dict[str, Any] = json.loads(answer["Body"].read())
        return result

    def _left(self) -> int:
        answer = self._sqs.get_queue_attributes(
            QueueUrl=self._requests,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        return sum(int(count) for count in answer["Attributes"].values())

    def _url(self, name: str) -> str:
        return self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
