"""What the tiers tell Prometheus while they work together."""

from __future__ import annotations

from collections import Counter

import pytest
import requests

from imagefleet_scripts.emulator import free_port
from place import Place
from scraped import Scraped, scraped
from system import PHOTOGRAPHS, wait_for

pytestmark = pytest.mark.embedded

SOON_S = 60
TOLD = "imagefleet_web_results_total"


def test_every_tier_counts_the_same_images(place: Place) -> None:
    # given a web server of two processes and a worker, and images of which one is cut short
    images = [(path.name, path.read_bytes()) for path in PHOTOGRAPHS[:3]]
    images.append(("cut.jpg", PHOTOGRAPHS[0].read_bytes()[:5000]))
    port = free_port()
    with (
        place.web(IMAGEFLEET_PROCESSES="2") as web,
        place.worker(IMAGEFLEET_METRICS_PORT=str(port)),
    ):
        wait_for(lambda: listens(port), SOON_S)
        processes = "imagefleet_web_processes"
        wait_for(lambda: scrape(web.address[1]).value(processes) == 2, SOON_S)

        assert web.upload(images, params={"wait": SOON_S}).status_code == 200

        # then both have counted them, by code and status
        results = {("", "done"): 3, ("truncated", "failed"): 1}
        worker, server = scrape(port), scrape(web.address[1])
        assert worker.of("imagefleet_worker_results_total") == results
        told = server.of(TOLD)
        assert {way for *_, way in told} <= {"reply", "look"}
        summed = Counter[tuple[str, ...]]()
        for (*labels, _), count in told.items():
            summed[tuple(labels)] += int(count)
        assert summed == results
        assert server.value("imagefleet_web_images_accepted_total") == 4
        stored = {"call": "put_image", "outcome": "answered"}
        assert server.value("imagefleet_web_aws_calls_total", **stored) == 4

        # and the times make sense
        waited = server.value("imagefleet_web_queue_wait_seconds_sum")
        answered = server.value("imagefleet_web_answer_seconds_sum")
        assert 0 < waited < answered < 4 * SOON_S
        busy = "imagefleet_worker_stage_busy_seconds_total"
        wait_for(lambda: all(scrape(port).of(busy).values()), SOON_S)

        # and who is not held up for seconds hears of results before it looks for them itself
        def replied() -> bool:
            web.upload(images[:1], params={"wait": SOON_S})
            return ("", "done", "reply") in scrape(web.address[1]).of(TOLD)

        wait_for(replied, SOON_S)


def scrape(port: int) -> Scraped:
    return scraped(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=SOON_S).text)


def listens(port: int) -> bool:
    try:
        scrape(port)
    except requests.ConnectionError:
        return False
    return True
