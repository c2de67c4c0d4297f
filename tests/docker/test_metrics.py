"""What a Prometheus on the inside network would hear of the system as containers."""

from __future__ import annotations

import pytest
from docker.errors import APIError
from docker.models.containers import Container

from client import state, upload
from laptop import Laptop
from scraped import Scraped, scraped
from system import photographs, wait_for

pytestmark = pytest.mark.docker

SOON_S = 240
WEB, SCALER = "http://web:8080/metrics", "http://127.0.0.1:9464/metrics"
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"


def test_every_tier_is_heard_inside_and_tells_what_was_done(laptop: Laptop) -> None:
    (scaler,) = laptop.service("scaler")
    before = told(scaler, WEB)

    # a worker is heard by its address while it works
    batches = [upload(laptop.url, photographs(100))["batch"] for _ in range(3)]
    wait_for(lambda: done_by_a_worker(laptop, scaler) > 0, SOON_S)
    for batch in batches:
        wait_for(lambda each=batch: state(laptop.url, each)["pending"] == 0, SOON_S)  # type: ignore[misc]

    # and the web tier, whose file system is read-only, has counted all, and the scaler the fleet
    after, own = told(scaler, WEB), told(scaler, SCALER)
    accepted = "imagefleet_web_images_accepted_total"
    assert after.value(accepted) - before.value(accepted) == 300
    assert after.value("imagefleet_web_processes") == 1
    assert own.value("imagefleet_scaler_launches_total") >= 1
    assert own.value("imagefleet_scaler_max_workers") == 4


def done_by_a_worker(laptop: Laptop, asking: Container) -> float:
    """Return how many labels some worker has stored by its own account, 0 if none is heard."""
    for worker in laptop.service("worker"):
        try:
            (network,) = worker.attrs["NetworkSettings"]["Networks"].values()
            figures = told(asking, f"http://{network['IPAddress']}:9464/metrics")
        except (APIError, AssertionError):
            continue  # it has gone meanwhile, or is not there yet
        if done := figures.value("imagefleet_worker_results_total", status="done", code=""):
            return done
    return 0.0


def told(asking: Container, url: str) -> Scraped:
    """Return what a container hears at a URL."""
    status, output = asking.exec_run(["python", "-c", ASK, url])
    assert isinstance(output, bytes)
    assert status == 0, output.decode()
    return scraped(output.decode())
