"""Replies are lost, doubled, late or nonsense: everybody gets their results, and in time."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from fault_kinds import Duplicate, Fault, Hold, InternalError, Lost, Reorder
from fault_proxy import FaultProxy
from imagefleet_core.jobs import JobId, Request, new_batch_id
from place import Place, place_on
from system import PHOTOGRAPHS, SAMPLES, labels, wait_for
from web_process import WebProcess
from web_tier import result_of

pytestmark = pytest.mark.embedded

DEADLINE_S = 60
# Who waits looks into S3 after two seconds, give or take a fifth; the rest is for slow machines.
# What nobody looked for would be told only after DEADLINE_S.
LOOKED_S = 45
REPLIES = "-replies-0"  # of web processes, whose ids begin so for a while
SEND = frozenset({"SendMessageBatch"})


@dataclass(frozen=True)
class Tiers:
    """A web process and a worker, whose AWS is a fault proxy."""

    place: Place
    proxy: FaultProxy
    web: WebProcess


@pytest.fixture(scope="module")
def running(ministack: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    with (
        FaultProxy(ministack) as proxy,
        place_on(ministack, tmp_path_factory.mktemp("replies"), endpoint=proxy.url) as place,
        place.web() as web,
        place.worker(),
    ):
        place.await_worker()
        ask(web)  # so that it has its connections
        yield Tiers(place, proxy, web)
        assert web.stop() == 0
        assert [line for line in web.lines() if line["level"] == "error"] == []


@pytest.fixture
def tiers(running: Tiers) -> Iterator[Tiers]:
    yield running
    running.proxy.relent()


def ask(web: WebProcess) -> float:
    """Upload photographs and wait in all ways; check all answers and return the seconds it took."""
    expected, began = labels(), time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        batch = pool.submit(web.upload, PHOTOGRAPHS, f"api/v1/upload?wait={DEADLINE_S}")
        label = pool.submit(web.upload, [SAMPLES / "coffee.jpg"], "")
        uploaded = web.upload(PHOTOGRAPHS).json()
        events = pool.submit(told, web, uploaded["url"])

        jobs = batch.result().json()["jobs"]
        assert {job["name"]: job["label"] for job in jobs} == expected
        assert label.result().text == f"{expected['coffee.jpg']}\n"
        assert events.result() == Counter(expected.items())
        took_s = time.monotonic() - began
    jobs = web.get(uploaded["url"][1:]).json()["jobs"]
    assert {job["name"]: job["label"] for job in jobs} == expected
    return took_s


def told(web: WebProcess, url: str) -> Counter[tuple[str, str]]:
    """Return how often each name and label was told in a batch's stream of events."""
    text = web.get(f"{url[1:]}/events").text
    assert "event: end" in text
    results = [json.loads(line[6:]) for line in text.splitlines() if '"label"' in line]
    return Counter((result["name"], result["label"]) for result in results)


FAULTS: dict[str, Fault] = {
    "are lost": Lost(where=REPLIES),
    "are not taken": InternalError(calls=SEND, where=REPLIES),
    "are taken and not answered": InternalError(calls=SEND, where=REPLIES, done=True),
    "come twice": Duplicate(where=REPLIES),
    "come again later": Duplicate(where=REPLIES, after_s=1),
    "come late": Reorder(where=REPLIES, after_s=4),
    "are received late": Hold(calls={"ReceiveMessage"}, where=REPLIES, seconds=4),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_results_are_told_once_and_in_time_though_replies(tiers: Tiers, fault: Fault) -> None:
    injected = tiers.proxy.inject(fault)

    took_s = ask(tiers.web)

    assert injected.count > 0
    assert took_s < LOOKED_S


def nonsense() -> dict[str, str]:
    """Return what no worker of this version sends, and results of nobody's."""
    request = Request(JobId(new_batch_id(), 7), "x/0007-x.jpg", "x.jpg", None, datetime.now(UTC))
    result = json.loads(result_of(request).encode())
    return {
        "text": "hello",
        "nothing": "{}",
        "a list": "[1, 2]",
        "deep": "[" * 50_000,
        "long": "x" * 200_000,
        "a future version": json.dumps({**result, "v": 2}),
        "another batch": json.dumps(result),
        "a huge answer": json.dumps({**result, "top": [], "output": {"text": "x" * 150_000}}),
        "no answer": json.dumps({**result, "top": []}),
        "a job that is none": json.dumps({"v": 1, "stored": "hello"}),
        "a job that is nowhere": json.dumps({"v": 1, "stored": str(request.job)}),
        "wrong kinds": json.dumps({**result, "top": "best", "name": 7}),
    }


def test_nonsense_among_the_replies_is_told_in_a_line_and_keeps_nobody(tiers: Tiers) -> None:
    place, web = tiers.place, tiers.web
    (name,) = [
        each for each in place.queues.names(place.settings.replies_prefix) if REPLIES in each
    ]
    replies = place.queues.open(name)
    for body in nonsense().values():
        replies.send([body])

    assert ask(web) < LOOKED_S

    wait_for(lambda: replies.counts().total == 0, DEADLINE_S)
    lines = web.events("reply can't be read")
    assert len(lines) == len(nonsense()) - 3
    assert max(len(json.dumps(line)) for line in lines) < 1500
    assert len(web.events("turn failed")) == 0
