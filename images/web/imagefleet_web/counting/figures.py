"""What the web tier tells Prometheus: each figure with its meaning, as docs/metrics.md has it.

No label's values come from outside unbounded: neither paths nor ids, names nor methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# They would only say when each series began, in as many series again.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX = "imagefleet_web"
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# From an image on an idle system to a backlog that waits for instances.
IMAGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Figures:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(f"{PREFIX}_{name}", meaning, labels, registry=registry)

        def histogram(
            name: str, meaning: str, buckets: Iterable[float], labels: Iterable[str] = ()
        ) -> Histogram:
            return Histogram(
                f"{PREFIX}_{name}", meaning, labels, registry=registry, buckets=tuple(buckets)
            )

        def gauge(name: str, meaning: str, of_all: Literal["livesum", "mostrecent"]) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", meaning, registry=registry, multiprocess_mode=of_all)

        self.requests = counter(
            "requests",
            "Requests that were answered, by route, method and status.",
            ("endpoint", "method", "status"),
        )
        self.request_seconds = histogram(
            "request_duration_seconds",
            "Seconds from the head of a request to that of its answer, of those that don't wait "
            "for results.",
            REQUEST_BUCKETS,
            ("endpoint",),
        )
        self.waiting = gauge(
            "waiting_requests", "Requests that hold a seat to wait now.", "livesum"
        )
        self.seats = gauge("seats", "Requests that may wait at once.", "livesum")
        self.processes = gauge("processes", "Server processes at work.", "livesum")
        self.uploads = counter(
            "uploads",
            "Uploads by outcome: accepted, replayed (accepted before, by their Idempotency-Key), "
            "refused (the client's fault) or failed (ours).",
            ("outcome",),
        )
        self.images_accepted = counter(
            "images_accepted", "Images that were stored, and queued or answered at once."
        )
        self.images_refused = counter(
            "images_refused", "Files of uploads that were refused, by code of error.", ("code",)
        )
        self.received_bytes = counter(
            "received_bytes", "Bytes of the files of uploads that were received whole."
        )
        self.results = counter(
            "results",
            "Results that became known, by status, code of error (empty if done), and way: reply, "
            "look (found in the store), dead_letter or reused (that of the same bytes before).",
            ("status", "code", "way"),
        )
        self.queue_seconds = histogram(
            "queue_wait_seconds",
            "Seconds from an image's acceptance until a worker began on it.",
            IMAGE_BUCKETS,
        )
        self.process_seconds = histogram(
            "processing_seconds",
            "Seconds from a worker's beginning on an image until it had the result.",
            IMAGE_BUCKETS,
        )
        self.answer_seconds = histogram(
            "answer_seconds",
            "Seconds from an image's acceptance until its result was known here.",
            IMAGE_BUCKETS,
        )
        self.backlog = gauge(
            "backlog_images",
            "Images that waited for a worker when that was last asked, which only uploads cause.",
            "mostrecent",
        )
        self.backlog_at = gauge(
            "backlog_timestamp_seconds", "When that was, in Unix seconds.", "mostrecent"
        )
        self.aws_calls = counter(
            "aws_calls",
            "Calls to the store and the queues, retries not counted, by outcome: answered, "
            "unavailable (may pass) or misconfigured (will not).",
            ("call", "outcome"),
        )
        self.replies_dropped = counter(
            "replies_dropped", "Replies that were thrown away, by reason.", ("reason",)
        )
