"""Metrics over a real socket, for the tiers that have no server of their own."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from imagefleet_core import metrics
from imagefleet_core.bounded import Bounded
from imagefleet_core.metrics import Endpoint, serve
from scraped import scraped

TIMEOUT_S = 30


class Broken(Collector):
    """A collector with a bug."""

    def collect(self) -> Iterator[Metric]:
        raise RuntimeError("the figures can't be read")

    def describe(self) -> list[Metric]:
        return []


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry with one figure."""
    registry = CollectorRegistry()
    Counter("cats", "Cats that were seen.", registry=registry).inc(3)
    return registry


@pytest.fixture
def endpoint(registry: CollectorRegistry) -> Iterator[Endpoint]:
    """Where it is served."""
    with serving(registry) as endpoint:
        yield endpoint


@contextmanager
def serving(registry: CollectorRegistry) -> Iterator[Endpoint]:
    endpoint = serve(registry, "127.0.0.1", 0)
    assert endpoint
    yield endpoint
    endpoint.shutdown()
    endpoint.server_close()


def scrape(endpoint: Endpoint) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{endpoint.server_port}/metrics", timeout=TIMEOUT_S)


def test_figures_are_served_in_the_text_format(endpoint: Endpoint) -> None:
    answer = scrape(endpoint)

    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert scraped(answer.text).value("cats_total") == 3


def test_a_client_that_stalls_keeps_the_next_one_only_for_a_moment(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "STALL_S", 1)
    with (
        serving(registry) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.server_port)) as stalled,
    ):
        stalled.sendall(b"GET /metrics HTTP/1.1\r\n")

        assert scrape(endpoint).status_code == 200
        stalled.settimeout(TIMEOUT_S)
        assert stalled.recv(100) == b""


def test_a_client_that_leaves_is_nobodys_trouble(endpoint: Endpoint) -> None:
    with capture_logs() as logs:
        for sent in (b"", b"GET", b"nonsense\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", endpoint.server_port)) as client:
                client.sendall(sent)
        assert scrape(endpoint).status_code == 200

    assert logs == []


def test_figures_that_cannot_be_read_are_said_in_the_log_alone(
    endpoint: Endpoint, registry: CollectorRegistry
) -> None:
    broken = Broken()
    registry.register(broken)
    with capture_logs() as logs, pytest.raises(requests.ConnectionError):
        scrape(endpoint)

    assert [line["event"] for line in logs] == ["metrics could not be told"]
    registry.unregister(broken)
    assert scrape(endpoint).status_code == 200


def test_without_its_port_there_is_a_line_in_the_log_and_nothing_else(
    registry: CollectorRegistry, endpoint: Endpoint
) -> None:
    with capture_logs() as logs:
        assert serve(registry, "127.0.0.1", endpoint.server_port) is None

    (line,) = logs
    assert (line["event"], line["reason"]) == ("metrics are not served", "Address already in use")


def test_answers_are_compressed_for_those_who_can_read_that(endpoint: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.server_port)) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    assert b"cats_total 3.0" in gzip.decompress(answer.partition(b"\r\n\r\n")[2])


def test_the_values_of_a_label_are_few() -> None:
    bounded = Bounded(2)

    assert [bounded(each) for each in ("a", "b", "c", "a", "d")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
    ]
