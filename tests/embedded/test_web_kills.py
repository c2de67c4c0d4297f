"""Web processes end while a hundred clients wait: each of these gets its answer all the same."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Event, Thread

import pytest
import requests

from imagefleet_core.jobs import Request
from imagefleet_scripts.emulator import free_port
from place import Place
from system import wait_for
from web_process import WebProcess
from web_tier import CHELSEA, form

pytestmark = pytest.mark.embedded

CLIENTS = 100
CLAIM_S = 2
DRAIN_S = 30
DEADLINE_S = 120
LOST = requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError


def web_of(place: Place, name: str, port: int) -> AbstractContextManager[WebProcess]:
    """Run a web process at a port."""
    return place.web(
        name,
        IMAGEFLEET_PORT=str(port),
        IMAGEFLEET_CLAIM_S=str(CLAIM_S),
        IMAGEFLEET_DRAIN_S=str(DRAIN_S),
    )


def until_answered(ask: Callable[[], requests.Response]) -> requests.Response:
    """Ask again, as good clients do, until there is an answer that is none to come again."""
    answers: list[requests.Response] = []

    def answered() -> bool:
        try:
            answers.append(ask())
        except LOST:
            return False
        return answers[-1].status_code not in {202, 409, 503, 504}

    wait_for(answered, DEADLINE_S)
    return answers[-1]


def label(web: WebProcess, number: int) -> str:
    """Ask for one label at `POST /`, with a key."""
    files, key = [(f"plain{number}.jpg", CHELSEA)], f"plain {number}"
    answer = until_answered(lambda: web.upload(files, "", key=key))
    assert answer.status_code == 200, answer.text
    return answer.text


def labels(web: WebProcess, number: int) -> str:
    """Upload a batch of one with a key, and wait for its result."""
    files, key = [(f"batch{number}.jpg", CHELSEA)], f"batch {number}"
    path = f"api/v1/upload?wait={DEADLINE_S}"
    answer = until_answered(lambda: web.upload(files, path, key=key))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["jobs"][0]["label"])


def events(web: WebProcess, number: int) -> str:
    """Upload a batch of one with a key, and hear of its result in a stream of events."""
    files, key = [(f"event{number}.jpg", CHELSEA)], f"event {number}"
    told: list[str] = []

    def heard() -> bool:
        try:
            uploaded = web.upload(files, key=key)
            if not uploaded.ok:
                return False
            stream = web.get(f"{uploaded.json()['url'][1:]}/events", stream=True)
            told[:] = stream.iter_lines(decode_unicode=True)
        except LOST:
            return False
        return "event: end" in told

    wait_for(heard, DEADLINE_S)
    (line,) = [line for line in told if '"label"' in line]
    return line


@contextmanager
def workers(place: Place) -> Iterator[list[Request]]:
    """Play the workers meanwhile; gives the list of what they were asked for."""
    taken: list[Request] = []
    over = Event()

    def work() -> None:
        while not over.is_set():
            taken.extend(place.work())

    thread = Thread(target=work)
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("alone", [True, False], ids=["a server process", "it and its master"])
def test_whoever_waits_for_a_process_that_is_killed_gets_an_answer_from_the_next(
    place: Place, alone: bool
) -> None:
    port, asks = free_port(), (label, labels, events)
    with ExitStack() as left:
        # given a hundred clients, half of whom at least wait when the process is killed
        one = left.enter_context(web_of(place, "one", port))
        pool = left.enter_context(ThreadPoolExecutor(CLIENTS))
        asked = [pool.submit(asks[i % 3], one, i) for i in range(CLIENTS)]
        wait_for(lambda: one.accepted() >= CLIENTS // 2, DEADLINE_S)
        if alone:
            one.server().kill()
        else:
            one.kill()
        accepted = {line["batch"] for line in one.events("upload accepted")}
        two = one if alone else left.enter_context(web_of(place, "two", port))

        # then each gets its own label
        with workers(place) as taken:
            answers = [each.result(DEADLINE_S) for each in asked]
        for number, answer in enumerate(answers):
            name = ("plain", "batch", "event")[number % 3]
            assert f"{name}{number}.jpg 1" in answer

        # and each image was taken in once; of those that were being queued just then, SQS may have
        # been told twice
        jobs = Counter(request.job for request in taken)
        assert {jobs[job] for job in jobs if job.batch in accepted} == {1}
        assert max(jobs.values()) <= 2
        assert sum(jobs.values()) - CLIENTS <= CLIENTS - len(accepted)
        assert place.stored() == {job.batch for job in jobs}
        assert len(jobs) == CLIENTS
        assert place.queued() == []
        past = two.get("api/v1/batches?limit=100").json()["batches"]
        assert {(each["total"], each["finished"]) for each in past} == {(1, 1)}


def test_whoever_waits_for_a_process_that_stops_is_answered_in_order(place: Place) -> None:
    port = free_port()
    with ExitStack() as left:
        one = left.enter_context(web_of(place, "one", port))
        pool = left.enter_context(ThreadPoolExecutor(CLIENTS))
        (known,) = one.upload([("known.jpg", CHELSEA)]).json()["jobs"]

        # given a hundred clients who wait, in all ways, and one amid its upload
        def plain(number: int) -> requests.Response:
            return one.upload([(f"plain{number}.jpg", CHELSEA)], "", key=f"plain {number}")

        def batch(number: int) -> requests.Response:
            return one.upload([(f"{number}.jpg", CHELSEA)], f"api/v1/upload?wait={DEADLINE_S}")

        def job(_number: int) -> requests.Response:
            return one.get(f"{known['url'][1:]}?wait={DEADLINE_S}")

        def stream(_number: int) -> requests.Response:
            return one.get(f"api/v1/batches/{known['batch']}/events")

        asks = [plain, batch, job, stream]
        asked = [pool.submit(asks[i % 4], i) for i in range(CLIENTS)]
        with socket.create_connection(one.address) as slow:
            body, content_type = form([("file", "slow.jpg", CHELSEA)])
            slow.sendall(
                f"POST /api/v1/upload HTTP/1.1\r\nHost: web\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body[:-1000]
            )
            wait_for(lambda: one.waiting() == CLIENTS, DEADLINE_S)
            wait_for(lambda: one.accepted() == 1 + CLIENTS // 2, DEADLINE_S)

            # when the process is told to stop
            began = time.monotonic()
            one.process.terminate()
            answers = [each.result(DEADLINE_S) for each in asked]
            answered_s = time.monotonic() - began
            slow.sendall(body[-1000:])
            slow.settimeout(DEADLINE_S)
            said = slow.recv(65536)

        # then nobody's connection is lost, and what they asked for is told as it stands
        statuses = [Counter(answer.status_code for answer in answers[i::4]) for i in range(4)]
        each = CLIENTS // 4
        assert statuses == [{504: each}, {202: each}, {200: each}, {200: each}]
        assert {answer.json()["status"] for answer in answers[2::4]} == {"pending"}
        assert not any("event: end" in answer.text for answer in answers[3::4])
        assert answered_s < DRAIN_S
        assert said.startswith(b"HTTP/1.1 202 ")
        assert one.process.wait(DRAIN_S + 10) == 0
        assert not [line for line in one.lines() if line["level"] in {"warning", "error"}]

        # and who asks the next process again with the same key gets a label
        two = left.enter_context(web_of(place, "two", port))
        with workers(place) as taken:
            assert label(two, 0) == "plain0.jpg 1\n"
            wait_for(lambda: len(taken) == CLIENTS // 2 + 2, DEADLINE_S)
        assert place.queued() == []
