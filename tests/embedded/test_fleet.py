"""What is told of the fleet while the whole system works, and while its scaler is gone."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any, Self

import psutil
import pytest
import requests

from client import state, upload
from imagefleet_core.fleet import FleetReport
from imagefleet_core.keys import FLEET_REPORT
from place import Place
from system import PHOTOGRAPHS, photographs, running, wait_for

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[2]
TICK_S = 0.2
ENVIRON = {
    "IMAGEFLEET_TICK_S": str(TICK_S),
    "IMAGEFLEET_TARGET_S": "0.5",
    "IMAGEFLEET_WORKER_USD_PER_HOUR": "36",
}
IMAGES = 300
SOON_S = 120
DONE_S = 180


class Stream:
    """The fleet's events, as one client hears them."""

    def __init__(self, url: str, last_id: str = "") -> None:
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self._answer = requests.get(
            f"{url}api/v1/fleet/events", headers=headers, stream=True, timeout=SOON_S
        )
        assert self._answer.ok, self._answer.text
        Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        wait_for(lambda: self.events, SOON_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()

    @property
    def last(self) -> dict[str, Any]:
        """What was told last."""
        return self.events[-1]

    def phases(self) -> dict[str, list[str]]:
        """Return the phases of each worker in the order they were told, repetitions left out."""
        phases: dict[str, list[str]] = {}
        for event in list(self.events):
            for worker in event["workers"]:
                seen = phases.setdefault(worker["id"], [])
                if seen[-1:] != [worker["phase"]]:
                    seen.append(worker["phase"])
        return phases

    def history(self) -> list[dict[str, Any]]:
        """Return all points that were told."""
        return [point for event in list(self.events) for point in event["history"]]

    def _listen(self) -> None:
        try:
            for line in self._answer.iter_lines(chunk_size=1):
                name, _, value = line.decode().partition(": ")
                if name == "id":
                    self.ids.append(value)
                elif name == "data":
                    self.events.append(json.loads(value))
        except (requests.RequestException, AttributeError):
            pass  # the test has left


def fleet(url: str) -> dict[str, Any]:
    """Return what is told of the fleet now."""
    told: dict[str, Any] = requests.get(f"{url}api/v1/fleet", timeout=SOON_S).json()
    return told


def follows(wanted: list[str], seen: list[str]) -> bool:
    """Return whether one came after the other, whatever was in between."""
    rest = iter(seen)
    return all(each in rest for each in wanted)


def test_a_burst_is_told_from_the_first_worker_to_the_last(tmp_path: Path) -> None:
    environ = {
        **ENVIRON,
        "IMAGEFLEET_SCALE_IN_AFTER_S": "4",
        "IMAGEFLEET_REUSE_RESULTS": "false",
    }
    with running(tmp_path / "log", "--max-workers", "2", environ=environ) as system:
        # given a system at rest, and somebody who watches
        wait_for(lambda: fleet(system.url)["live"], SOON_S)
        with Stream(system.url) as stream:
            assert (stream.last["live"], stream.last["workers"]) == (True, [])

            # when a burst comes, and its workers take their time to boot
            with ThreadPoolExecutor() as pool:
                uploads = [
                    pool.submit(upload, system.url, photographs(100)) for _ in range(IMAGES // 100)
                ]
                wait_for(lambda: suspended(system.workers()) == 2, SOON_S)
                wait_for(lambda: len(stream.last["workers"]) == 2, SOON_S)
                for worker in system.workers():
                    worker.resume()
            batches = [each.result()["batch"] for each in uploads]
            wait_for(
                lambda: not any(state(system.url, each)["pending"] for each in batches), DONE_S
            )
            wait_for(lambda: not stream.last["workers"] and stream.last["desired"] == 0, SOON_S)

            # then workers were seen as they began, at work, and when they had nothing to do
            phases = list(stream.phases().values())
            # (of one that began before it could be suspended, the beginning may be missed)
            assert any(follows(["booting", "busy", "idle"], each) for each in phases), phases
            seen = [worker for event in stream.events for worker in event["workers"]]
            assert any(each["images_per_s"] for each in seen)
            assert any(each["service_s"] for each in seen)
            assert any(event["queue"]["oldest_s"] for event in stream.events)

            # and it was told what was decided, and why
            decisions = stream.last["decisions"]
            assert sum(each["launch"] for each in decisions) == 2
            assert sum(each["retire"] for each in decisions) == 2
            assert all(each["why"] for each in decisions)

            # and what was done, in which time and for how much
            history = stream.history()
            assert history == sorted(history, key=lambda point: str(point["at"]))
            assert history == fleet(system.url)["history"]
            assert history[-1]["done"] == IMAGES
            assert max(point["workers"] for point in history) == 2
            assert stream.last["cost"]["hour_usd"] == 0
            assert stream.last["cost"]["total_usd"] >= 2 * 0.6  # a minute each

        # and who comes again gets only what is newer
        middle = history[len(history) // 2]["at"]
        with Stream(system.url, last_id=middle) as again:
            assert again.history() == [point for point in history if point["at"] > middle]
            assert again.ids == [history[-1]["at"]]


def suspended(workers: Sequence[psutil.Process]) -> int:
    """Hold processes where they are; return how many those are."""
    for worker in workers:
        worker.suspend()
    return len(workers)


@pytest.fixture
def lasting(place: Place) -> Iterator[Place]:
    """A place whose workers outlive their scaler, and end with the test."""
    yield place
    place.end_workers()


def test_a_scaler_that_was_killed_is_noticed_and_the_next_one_goes_on(lasting: Place) -> None:
    scaler = {**ENVIRON, "IMAGEFLEET_MAX_WORKERS": "1"}
    with lasting.web() as web:
        assert fleet(web.url) == {**fleet(web.url), "at": None, "live": False, "workers": []}

        # given a fleet at work
        with lasting.scaler(**scaler) as first:
            waited = web.upload(PHOTOGRAPHS, params={"wait": DONE_S}, timeout=2 * DONE_S)
            assert waited.status_code == 200
            wait_for(lambda: fleet(web.url)["workers"], SOON_S)
            with Stream(web.url) as stream:
                wait_for(lambda: stream.last["live"], SOON_S)

                # when its scaler is killed, then that is told
                first.kill()
                wait_for(lambda: not stream.last["live"], SOON_S)
                before = stream.last

        # and the next scaler goes on where it was
        with lasting.scaler(**scaler) as second:
            wait_for(lambda: fleet(web.url)["live"], SOON_S)
            after = fleet(web.url)
            assert [each["id"] for each in after["workers"]] == [
                each["id"] for each in before["workers"]
            ]
            assert after["decisions"][-1] == before["decisions"][-1]
            assert after["history"][0]["at"] < before["at"]
            assert after["cost"]["since"] == before["cost"]["since"]
            assert after["cost"]["total_usd"] >= before["cost"]["total_usd"]

            # and one that is stopped says so itself
            second.send_signal(signal.SIGTERM)
            assert second.wait(SOON_S) == 0
            note = lasting.store.read_note(FLEET_REPORT)
            assert note
            assert FleetReport.decode(note.body).fresh_s == 0
            wait_for(lambda: not fleet(web.url)["live"], SOON_S)
