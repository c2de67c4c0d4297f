"""Work of a user's own in worker processes over the embedded emulator."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
import requests
from PIL import Image

from client import state, upload
from imagefleet_core import replies
from imagefleet_core.jobs import Failure, JobId, Result
from place import Place
from system import PHOTOGRAPHS, SAMPLES, running, wait_for
from worker_tier import PACKAGES

pytestmark = pytest.mark.embedded

EXAMPLE = str(Path(__file__).parents[2] / "examples/photo-quality")
RESULTS_S = 60

# Answers at length, but for wide pictures, which it rejects, and for square ones, which break it.
TALKATIVE = """
from imagefleet_worker.processors import Recipe, Rejected

class Talkative:
    name = "talkative@2"
    recipe = Recipe(size=64, resize=64, interpolation="bilinear", crop=False)

    def __init__(self, resources):
        pass

    def process(self, images):
        return [self.answer(*image.shape[:2]) for image in images]

    def answer(self, height, width):
        if width > 1.6 * height:
            return Rejected("too_wide", "It is a panorama.")
        if width == height:
            raise RuntimeError("squares are beyond me")
        return {"text": "x" * 50_000}
"""


@pytest.fixture
def max_receives() -> int:
    return 2


def results(place: Place, jobs: list[JobId]) -> dict[str, Result]:
    """Return the results there are, by the names of their images."""
    found = (place.store.get_result(job) for job in jobs)
    return {result.name: result for result in found if result}


def told(place: Place) -> list[Result | JobId]:
    """Return the replies that whoever asked has got."""
    messages = place.replies.receive(wait_s=1, visibility_s=60)
    return [replies.decode(message.body) for message in messages]


def test_each_photograph_gets_the_output_of_ones_own_work(place: Place) -> None:
    jobs = place.submit(PHOTOGRAPHS)

    path = os.pathsep.join([*PACKAGES, EXAMPLE])
    with place.worker(PYTHONPATH=path, IMAGEFLEET_PROCESSOR="quality:PhotoQuality"):
        wait_for(lambda: place.finished(jobs) == len(jobs), RESULTS_S)
        wait_for(lambda: place.requests.counts().total == 0, RESULTS_S)

    found = results(place, jobs)
    assert {result.model for result in found.values()} == {"photo-quality@1"}
    outputs = {name: result.output for name, result in found.items() if result.output}
    assert len(outputs) == len(PHOTOGRAPHS)
    assert outputs["china.jpg"]["sharpness"] > outputs["flower.jpg"]["sharpness"] > 100
    assert len({output["fingerprint"] for output in outputs.values()}) == len(PHOTOGRAPHS)
    assert sorted(map(str, told(place))) == sorted(map(str, found.values()))


def test_what_ones_own_work_cannot_do_fails_alone(place: Place, tmp_path: Path) -> None:
    # given a photograph that is answered at length, one that is rejected, one that breaks the work
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    talks, wide, square = ("china.jpg", "panorama.jpg", "camera.jpg")
    jobs = place.submit_files(
        [
            (talks, (SAMPLES / talks).read_bytes(), None),
            (wide, _panorama(), None),
            (square, (SAMPLES / square).read_bytes(), None),
        ]
    )

    path = os.pathsep.join([*PACKAGES, str(tmp_path)])
    settings = {"IMAGEFLEET_PROCESSOR": "talkative:Talkative", "IMAGEFLEET_VISIBILITY_S": "3"}
    with place.worker(PYTHONPATH=path, **settings) as worker:
        wait_for(lambda: place.finished(jobs) == 2, RESULTS_S)
        wait_for(lambda: place.dead_letters.counts().visible == 1, RESULTS_S)
        assert worker.poll() is None

    found = results(place, jobs)
    assert found[talks].output == {"text": "x" * 50_000}
    assert found[wide].error == Failure("too_wide", "It is a panorama.")
    assert found[wide].model == "talkative@2"
    assert square not in found
    # and whoever asked is told where the long answer is
    assert sorted(map(str, told(place))) == sorted([str(jobs[0]), str(found[wide])])


def test_a_class_that_cannot_be_used_ends_the_worker_before_it_takes_a_message(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "talkative.py").write_text(TALKATIVE.replace("crop=False", "crop=True"))
    place.submit(PHOTOGRAPHS)

    path = os.pathsep.join([*PACKAGES, str(tmp_path)])
    with place.worker(PYTHONPATH=path, IMAGEFLEET_PROCESSOR="talkative:Talkative") as worker:
        assert worker.wait(RESULTS_S) == 1

    (line,) = place.log().splitlines()
    assert line == (
        "imagefleet-worker: talkative@2 failed: RuntimeError: squares are beyond me "
        "(talkative.py, line 18)"
    )
    (message,) = place.requests.receive(wait_s=1, visibility_s=1, at_most=1)
    assert message.receives == 1


def test_the_whole_system_answers_with_the_output(tmp_path: Path) -> None:
    environ = {"PYTHONPATH": EXAMPLE, "IMAGEFLEET_PROCESSOR": "quality:PhotoQuality"}
    with running(tmp_path / "log", "--max-workers", "1", environ=environ) as system:
        batch = upload(system.url, [SAMPLES / "coffee.jpg"])["batch"]
        with (SAMPLES / "coffee.jpg").open("rb") as file:
            answer = requests.post(system.url, files={"file": file}, timeout=60)
        wait_for(lambda: state(system.url, batch)["pending"] == 0, RESULTS_S)
        (job,) = state(system.url, batch)["jobs"]

    assert (job["status"], job["label"], job["model"]) == ("done", None, "photo-quality@1")
    assert json.loads(answer.text) == job["output"]
    assert job["output"]["sharpness"] > 100


def _panorama() -> bytes:
    """Return a picture twice as wide as high."""
    file = io.BytesIO()
    Image.new("RGB", (400, 200), "green").save(file, "JPEG")
    return file.getvalue()
