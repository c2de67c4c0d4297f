"""How long a message takes from who sends it to who waits for it in a long poll, and nothing else.

It is the least that a client waits for a result which a worker tells of through a queue.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3

from imagefleet_scripts.bench.kit.place import Place
from imagefleet_scripts.bench.kit.telling import work_s

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def times(place: Place, count: int) -> list[float]:
    """Return the seconds that messages took, one after the other."""
    sqs: SQSClient = boto3.client("sqs")
    url = sqs.create_queue(QueueName=f"{place.settings.prefix}-poll")["QueueUrl"]

    def send() -> float:
        time.sleep(work_s())
        began = time.monotonic()
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "0", "MessageBody": "{}"}])
        return began

    def one() -> float:
        sent = pool.submit(send)
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
        took_s = time.monotonic() - sent.result()
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return took_s

    with ThreadPoolExecutor(1) as pool:
        return [one() for _ in range(count)]
