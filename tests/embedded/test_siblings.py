"""Two processes behind one port: whoever waits is told at once, whichever of them it asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
import requests

from fault_kinds import Denied
from fault_proxy import FaultProxy
from place import Place
from system import wait_for
from web_process import WebProcess
from web_tier import CHELSEA

pytestmark = pytest.mark.embedded

BATCHES, STREAMS = 12, 4
LIST = frozenset({"ListObjectsV2"})
DEADLINE_S = 60


@contextmanager
def events_of(web: WebProcess, path: str) -> Iterator[Iterator[tuple[float, str]]]:
    """Open a stream of events; give its results as they come, with the time of each."""
    with requests.get(f"{web.url}{path}/events", stream=True, timeout=DEADLINE_S) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith(b"retry:")
        yield (
            (time.time(), json.loads(line.partition(b": ")[2])["label"])
            for line in lines
            if line.startswith(b"data: ") and b'"label"' in line
        )


def test_who_waits_at_another_process_is_told_at_once(place: Place) -> None:
    with (
        FaultProxy(place.endpoint) as proxy,
        place.web(endpoint=proxy.url, IMAGEFLEET_PROCESSES="2") as web,
        ThreadPoolExecutor(BATCHES * STREAMS) as pool,
    ):
        wait_for(lambda: len(place.queues.names(place.settings.replies_prefix)) == 3, DEADLINE_S)
        # given clients that wait at both processes, neither of which can look into the store
        paths = [
            web.upload([(f"{i}.jpg", CHELSEA)]).json()["url"].lstrip("/") for i in range(BATCHES)
        ]
        opened: list[str] = []

        def first_of(path: str) -> tuple[float, str]:
            with events_of(web, path) as results:
                opened.append(path)
                return next(results)

        told = [pool.submit(first_of, path) for path in paths for _ in range(STREAMS)]
        wait_for(lambda: len(opened) == len(told), DEADLINE_S)
        proxy.inject(Denied(calls=LIST))

        began = time.time()
        place.play(BATCHES)
        answered = time.time()

        try:
            results = [each.result(DEADLINE_S) for each in told]
        finally:
            proxy.relent()
        late = sorted(at - answered for at, _ in results)
        print(  # noqa: T201
            f"{len(told)} streams: told {late[len(late) // 2]:.3f} s (median), {late[-1]:.3f} s "
            f"(last) after {BATCHES} results were stored, which took {answered - began:.3f} s"
        )
        assert [label for _, label in results] == [
            f"{i}.jpg 1" for i in range(BATCHES) for _ in range(STREAMS)
        ]


def test_a_process_that_is_killed_is_followed_by_one_that_hears_again(place: Place) -> None:
    with place.web(IMAGEFLEET_PROCESSES="2") as web:

        def names() -> set[str]:
            return set(place.queues.names(place.settings.replies_prefix))

        wait_for(lambda: len(names()) == 3, DEADLINE_S)
        before = names()
        psutil.Process(web.process.pid).children()[0].kill()
        wait_for(lambda: names() - before, DEADLINE_S)

        # then uploads of either are told at either
        for number in range(6):
            path = web.upload([(f"{number}.jpg", CHELSEA)]).json()["url"].lstrip("/")
            with events_of(web, path) as results:
                place.play(1)
                assert next(results)[1] == f"{number}.jpg 1"
