"""SQS's actions, called at a third of the CPU that boto3's client takes for it.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.client import responses
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError, HTTPClientError

from imagefleet_core.calls import Call, Calls, Site
from imagefleet_core.connections import Reply
from imagefleet_core.places import Place, find_sqs

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_PATH = "/"
_HEADERS = {
    "content-type": "application/x-amz-json-1.0",
    # Errors come with the codes that they always had, beside the new ones.
    "x-amzn-query-mode": "true",
}
# Ten messages of 1 MiB, the most that SQS delivers at once, each byte of them escaped in JSON.
_ANSWER_BYTES = 64 * 1024 * 1024
_ERROR_BYTES = 64 * 1024


class Actions:
    """Calls the actions of SQS; safe to share between threads.

    Args:
        sqs: says where SQS is, who signs, how often a call is tried and how long it may take.
        pause: waits for so many seconds before a call is tried again.
    """

    def __init__(self, sqs: SQSClient, pause: Callable[[float], object] = time.sleep) -> None:
        self._sqs = sqs
        self._calls = Calls(sqs, _refusal, pause)
        self._lock = Lock()
        self._known_site: Site | None = None

    def call(self, action: str, **asked: Any) -> dict[str, Any]:
        """Call an action with its parameters, both named as in SQS's documentation.

        Raises:
            ClientError, BotoCoreError: as boto3's client does.
        """
        headers = {**_HEADERS, "x-amz-target": f"AmazonSQS.{action}"}
        call = Call("POST", _PATH, headers, json.dumps(asked).encode())
        return self._calls.make(action, self._site(), call, _read)

    def _site(self) -> Site:
        if self._known_site is None:
            with self._lock:  # one thread looks for it, and the others find what it found
                if self._known_site is None:
                    self._known_site = self._calls.site(find_sqs(self._sqs))
        return self._known_site


def _read(reply: Reply) -> dict[str, Any]:
    with reply:
        body = reply.read(_ANSWER_BYTES)
    try:
        answer = json.loads(body or b"{}")
    except ValueError as error:
        raise HTTPClientError(error=f"the answer is not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise HTTPClientError(error="the answer is not a JSON object")
    return answer


def _refusal(action: str, reply: Reply, _place: Place) -> ClientError:
    """Return the error that boto3 would raise for such an answer."""
    with reply:
        body = reply.read(_ERROR_BYTES)
    try:
        told = json.loads(body)
    except ValueError:
        told = None  # of a proxy, for instance
    told = told if isinstance(told, dict) else {}
    code = str(told.get("__type", reply.status)).rpartition("#")[2].partition(":")[0]
    code = reply.headers.get("x-amzn-query-error", "").partition(";")[0] or code
    message = told.get("message") or told.get("Message") or responses.get(reply.status, "")
    response = {
        "Error": {"Code": code, "Message": str(message)},
        "ResponseMetadata": {
            "HTTPStatusCode": reply.status,
            "RequestId": reply.headers.get("x-amzn-requestid", ""),
        },
    }
    return ClientError(cast(Any, response), action)
