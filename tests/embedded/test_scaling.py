"""The fleet from nobody to twenty and back, and one of two scalers at a time."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from place import Place
from system import PHOTOGRAPHS, running, wait_for

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[2]
MOST = 20
IMAGES = 400
DONE_S = 120
TAKEN_OVER_S = 60

# Takes as long as a large network would, and no CPU, of which there are not twenty here.
PATIENT = """
import time
from imagefleet_worker.processors import Recipe

class Patient:
    name = "patient@1"
    recipe = Recipe(size=8, resize=8, interpolation="bilinear", crop=False)

    def __init__(self, resources):
        pass

    def process(self, images):
        time.sleep(0.5 * len(images))
        return [{} for _ in images]
"""


def workers_over_time(url: str) -> list[int]:
    points = requests.get(f"{url}api/v1/fleet", timeout=30).json()["history"]
    return [point["workers"] for point in points]


def test_a_burst_takes_the_fleet_from_nobody_to_twenty_and_back(tmp_path: Path) -> None:
    (tmp_path / "patient.py").write_text(PATIENT)
    environ = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        "IMAGEFLEET_PROCESSOR": "patient:Patient",
        "IMAGEFLEET_SERVICE_S": "0.5",
        "IMAGEFLEET_SCALE_IN_AFTER_S": "3",
        "IMAGEFLEET_DECODERS": "1",
    }
    with running(tmp_path / "log", "--max-workers", str(MOST), environ=environ) as system:
        picture = PHOTOGRAPHS[0].read_bytes()
        many = [("file", (f"{number}.jpg", picture)) for number in range(100)]
        batches = [
            requests.post(f"{system.url}api/v1/upload", files=many, timeout=60).json()["url"]
            for _ in range(IMAGES // 100)
        ]

        answers = [
            requests.get(f"{system.url[:-1]}{batch}?wait={DONE_S}", timeout=2 * DONE_S).json()
            for batch in batches
        ]
        wait_for(lambda: not system.workers(), DONE_S)
        sizes = workers_over_time(system.url)
        said = system.log.read_text()

    assert [(answer["done"], answer["failed"]) for answer in answers] == [(100, 0)] * len(batches)
    assert max(sizes) == MOST
    assert "a worker did not go" not in said
    assert "worker died" not in said


def test_a_scaler_at_rest_launches_within_a_second_of_an_upload(tmp_path: Path) -> None:
    def fleet() -> dict[str, Any]:
        told: dict[str, Any] = requests.get(f"{system.url}api/v1/fleet", timeout=30).json()
        return told

    def launched_at() -> datetime:
        launches = [each["at"] for each in fleet()["decisions"] if each["launch"]]
        return max(datetime.fromisoformat(at) for at in launches)

    environ = {"IMAGEFLEET_SCALE_IN_AFTER_S": "1"}
    with running(tmp_path / "log", environ=environ) as system:
        # given a system at rest, after the worker that S3's test event started has gone
        wait_for(lambda: fleet()["history"] and not fleet()["workers"], 60)
        wait_for(lambda: any(each["retire"] for each in fleet()["decisions"]), 60)
        wait_for(lambda: not fleet()["workers"], 60)

        uploaded_at = datetime.now(UTC)
        picture = PHOTOGRAPHS[0].read_bytes()
        answer = requests.post(system.url, files={"file": ("cat.jpg", picture)}, timeout=60)
        wait_for(lambda: launched_at() > uploaded_at, 30)
        took_s = (launched_at() - uploaded_at).total_seconds()

    assert answer.ok
    # 0.1 s; if nobody had told it, 10 s after its last look, which was 3 s ago at the most
    assert took_s < 7


SCALER = {
    "IMAGEFLEET_LOG_FORMAT": "text",
    "IMAGEFLEET_TICK_S": "0.5",
    "IMAGEFLEET_MAX_WORKERS": "2",
}


def test_a_second_scaler_takes_over_from_one_that_was_killed(place: Place) -> None:
    def says(name: str, what: str) -> bool:
        return what in place.log(name)

    with ExitStack() as stack:
        stack.callback(place.end_workers)
        one = stack.enter_context(place.scaler("one", **SCALER))
        wait_for(lambda: says("one", "this scaler acts"), 30)
        stack.enter_context(place.scaler("other", **SCALER))
        wait_for(lambda: says("other", "this scaler stands by"), 30)
        first = place.submit(PHOTOGRAPHS)
        wait_for(lambda: place.finished(first) == len(first), DONE_S)

        one.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        wait_for(lambda: says("other", "this scaler acts"), TAKEN_OVER_S)
        print(f"taken over after {time.monotonic() - killed_at:.1f} s")  # noqa: T201  # for -s
        second = place.submit(PHOTOGRAPHS)
        wait_for(lambda: place.finished(second) == len(second), DONE_S)

    place.verify()
