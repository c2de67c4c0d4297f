"""Uploads with an Idempotency-Key through web processes over an emulator, some of them killed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import requests

from fault_kinds import Fault, Hold
from fault_proxy import FaultProxy
from place import Place
from system import photographs, wait_for
from web_process import WebProcess

pytestmark = pytest.mark.embedded

KEY = "4f5d3c1e-0b5c-4d4f-9a55-6a6ff3e3b1a7"
CLAIM_S = 4
IMAGES = 12
DEADLINE_S = 120

# What holds a process up until it is killed: amid its images, and with nothing but the queueing
# of all of them left to do.
HELD_UP: dict[str, tuple[Fault, int]] = {
    "storing": (Hold(calls={"PutObject"}, seconds=0.2), 4),
    "queueing": (Hold(calls={"SendMessageBatch"}, seconds=3600), 1),
}


def upload(web: WebProcess) -> requests.Response:
    """Upload some photographs with the key."""
    return web.upload(photographs(IMAGES), key=KEY)


def check_once(place: Place, answer: requests.Response) -> None:
    """Check that all images of one batch are stored and queued, each once, and no others."""
    assert answer.status_code == 202, answer.text
    batch = answer.json()["batch"]
    assert len(place.store.image_names(batch)) == IMAGES
    queued = place.queued()
    assert sorted(request.job.number for request in queued) == list(range(1, IMAGES + 1))
    assert {request.job.batch for request in queued} == {batch}


def test_one_key_at_two_processes_at_once_is_one_batch(place: Place) -> None:
    with place.web("one") as one, place.web("two") as two, ThreadPoolExecutor(8) as pool:
        uploads = [pool.submit(upload, web) for web in (one, two) * 4]
        answers = [each.result() for each in uploads]
        last = upload(two)

    statuses = {answer.status_code for answer in answers}
    assert statuses <= {202, 409}
    batches = {answer.json()["batch"] for answer in answers if answer.status_code == 202}
    assert batches == {last.json()["batch"]}
    assert last.headers["Idempotent-Replayed"] == "true"
    check_once(place, last)


def test_a_key_outlives_the_process(place: Place) -> None:
    with place.web("one") as one:
        first = upload(one)
        one.kill()
    with place.web("two") as two:
        again = upload(two)

    assert again.json() == first.json()
    check_once(place, again)


@pytest.mark.parametrize(("fault", "count"), HELD_UP.values(), ids=HELD_UP)
def test_what_a_killed_process_began_is_taken_in_once(
    place: Place, fault: Fault, count: int
) -> None:
    web = partial(place.web, IMAGEFLEET_CLAIM_S=str(CLAIM_S), IMAGEFLEET_AWS_CONNECTIONS="1")
    with (
        FaultProxy(place.endpoint) as proxy,
        web("one", endpoint=proxy.url) as one,
        web("two") as two,
        ThreadPoolExecutor(1) as pool,
    ):
        # given a process that is killed amid an upload
        held_up, began = proxy.inject(fault), time.monotonic()
        lost = pool.submit(upload, one)
        wait_for(lambda: held_up.count >= count, DEADLINE_S)
        one.kill()
        assert isinstance(lost.exception(DEADLINE_S), requests.ConnectionError)

        # when the client tries again until another process takes it
        answers: list[requests.Response] = []
        wait_for(lambda: answers.append(upload(two)) or answers[-1].ok, DEADLINE_S)  # type: ignore[func-returns-value]

        # then nobody took it over early, give or take a second of S3's clock
        assert time.monotonic() - began > CLAIM_S - 1
        refused = {(each.status_code, each.json()["code"]) for each in answers[:-1]}
        assert refused <= {(409, "upload_in_progress")}
        # and nothing is lost, double or left behind
        check_once(place, answers[-1])
        told = two.get("api/v1/batches").json()["batches"]
        assert [(each["batch"], each["total"]) for each in told] == [
            (answers[-1].json()["batch"], IMAGES)
        ]
