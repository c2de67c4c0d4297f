"""Photographs that are uploaded again, on the whole system: answered without any worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from client import TIMEOUT_S, state, upload
from imagefleet_core import keys
from imagefleet_scaler.announced import FRESH_S
from place import Place
from system import PHOTOGRAPHS, System, labels, running, wait_for

pytestmark = pytest.mark.embedded

IDLE_S = 120
SHARED_S = 30


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that answers from stored results, as it does unless it is told not to."""
    log = tmp_path_factory.mktemp("system") / "log"
    # No sooner, so that what the web tier announced is over by then, however late that came.
    scale_in_s = FRESH_S + 2
    environ = {"IMAGEFLEET_REUSE_RESULTS": "", "IMAGEFLEET_SCALE_IN_AFTER_S": f"{scale_in_s:g}"}
    with running(log, "--max-workers", "1", environ=environ) as started:
        yield started


def told(answer: dict[str, Any]) -> dict[str, str]:
    """Return the label of each file."""
    return {job["name"]: job["label"] for job in answer["jobs"]}


def test_photographs_that_come_again_wake_no_worker(system: System, tmp_path: Path) -> None:
    # given photographs that were worked on by a fleet that is at rest again
    first = upload(system.url, PHOTOGRAPHS, wait=TIMEOUT_S)
    assert told(first) == labels()
    wait_for(lambda: not system.workers(), IDLE_S)
    changes = system.log.read_text().count("the fleet changes")

    # when they come again, one of them under another name, and by the other way in
    again = upload(system.url, PHOTOGRAPHS)
    renamed = tmp_path / "renamed.jpg"
    renamed.write_bytes(PHOTOGRAPHS[0].read_bytes())
    with renamed.open("rb") as file:
        answer = requests.post(system.url, files={"inputFile": file}, timeout=TIMEOUT_S)

    # then each has the label it had, at once and as a result of its own
    assert told(again) == labels()
    assert answer.text == f"renamed:{labels()[PHOTOGRAPHS[0].name]}\n"
    assert [job["reused_from"] for job in again["jobs"]] == [job["id"] for job in first["jobs"]]
    assert state(system.url, again["batch"])["jobs"] == again["jobs"]
    for job, path in zip(again["jobs"], PHOTOGRAPHS, strict=True):
        image = requests.get(f"{system.url}api/v1/jobs/{job['id']}/image", timeout=TIMEOUT_S)
        assert image.content == path.read_bytes()
    log = system.log.read_text()
    assert not system.workers(), log
    assert log.count("the fleet changes") == changes, log

    # but who asks for work gets it
    headers = {"Cache-Control": "no-cache"}
    with PHOTOGRAPHS[0].open("rb") as file:
        answer = requests.post(
            f"{system.url}api/v1/upload?wait={TIMEOUT_S}",
            files={"file": file},
            headers=headers,
            timeout=TIMEOUT_S,
        )
    (job,) = answer.json()["jobs"]
    assert (job["label"], job["reused_from"]) == (labels()[PHOTOGRAPHS[0].name], None)


def test_a_process_that_comes_later_knows_what_was_answered(place: Place) -> None:
    reuse = {"IMAGEFLEET_REUSE_RESULTS": "true"}
    with place.web("web-1", **reuse) as web:
        assert web.upload(PHOTOGRAPHS[:2]).status_code == 202
        place.play(2)
        wait_for(lambda: place.store.note_keys(keys.ANSWERS), SHARED_S)
        web.kill()

    with place.web("web-2", **reuse) as web:
        wait_for(lambda: web.upload(PHOTOGRAPHS[:2]).status_code == 200, SHARED_S)

    with place.web("web-3") as web:  # switched off
        assert web.upload(PHOTOGRAPHS[:2]).status_code == 202
