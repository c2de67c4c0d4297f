"""A worker as the web tier sees it, which works on nothing and answers at once.

In plain boto3, so that no figure depends on the code that it is about.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from imagefleet_core import keys
from imagefleet_core.jobs import Prediction, Request, Result
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.place import Place

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

LABEL = "played"


class PlayedWorker:
    """Takes requests, stores a result for each and replies; for one thread."""

    def __init__(self, place: Place) -> None:
        self._settings = place.settings
        self._s3: S3Client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        self._sqs: SQSClient = boto3.client("sqs")
        self._requests = self._url(place.settings.requests_queue)
        self._urls: dict[str, str] = {}

    def waiting(self) -> int:
        """Return how many requests wait."""
        asked = self._sqs.get_queue_attributes(
            QueueUrl=self._requests, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])

    def await_waiting(self, count: int, within_s: float) -> None:
        """Return when so many requests wait; raises `BenchError` if they don't come."""
        deadline = time.monotonic() + within_s
        while (waiting := self.waiting()) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"only {waiting} of {count} uploads were queued")
            time.sleep(0.05)

    def finish_one(self, first: Callable[[Request], object] = lambda _: None) -> float:
        """Answer the next request; return when its result was stored, in `time.monotonic()`.

        Args:
            first: called before anything is done about it.
        """
        (request,) = self._take(1)
        first(request)
        self._store(request)
        stored_at = time.monotonic()
        self._reply([request])
        return stored_at

    def finish(self, count: int) -> None:
        """Answer so many requests, as fast as it gets on."""
        while count:
            requests = self._take(min(10, count))
            for request in requests:
                self._store(request)
            self._reply(requests)
            count -= len(requests)

    def _take(self, at_most: int) -> list[Request]:
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self._requests, MaxNumberOfMessages=at_most, WaitTimeSeconds=20
            )
            taken = answer.get("Messages", [])
            for message in taken:
                self._sqs.delete_message(
                    QueueUrl=self._requests, ReceiptHandle=message["ReceiptHandle"]
                )
            # S3 itself tells the queue that it may send to it.
            if requests := [each for each in taken if "job" in json.loads(each["Body"])]:
                return [Request.decode(each["Body"]) for each in requests]

    def _store(self, request: Request) -> None:
        self._s3.put_object(
            Bucket=self._settings.results_bucket,
            Key=keys.result_key(request.job),
            Body=result_of(request).encode().encode(),
        )

    def _reply(self, requests: list[Request]) -> None:
        told: dict[str, list[Any]] = defaultdict(list)
        for i, request in enumerate(requests):
            entry = {"Id": str(i), "MessageBody": result_of(request).encode()}
            told[request.reply_to or ""].append(entry)
        for name, entries in told.items():
            self._urls[name] = self._urls.get(name) or self._url(name)
            self._sqs.send_message_batch(QueueUrl=self._urls[name], Entries=entries)

    def _url(self, name: str) -> str:
        return self._sqs.get_queue_url(QueueName=name)["QueueUrl"]


def result_of(request: Request) -> Result:
    """Return the result of a request: five labels, as a classifier gives them."""
    now = datetime.now(UTC)
    return Result(
        job=request.job,
        name=request.name,
        top=tuple(Prediction(f"{LABEL} {i}" if i else LABEL, 0.5 / (i + 1)) for i in range(5)),
        error=None,
        model="played@1",
        worker="played",
        submitted_at=request.submitted_at,
        started_at=now,
        finished_at=now,
    )
