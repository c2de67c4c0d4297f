"""The whole system as processes over the embedded emulator, with real photographs."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from client import state, upload
from imagefleet_scripts import load
from system import PHOTOGRAPHS, SAMPLES, System, labels, photographs, running, wait_for

pytestmark = pytest.mark.embedded

SOON_S = 180
ENVIRON = {"IMAGEFLEET_SCALE_IN_AFTER_S": "3", "IMAGEFLEET_TARGET_S": "0.5"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    log = tmp_path_factory.mktemp("system") / "log"
    with running(log, "--max-workers", "4", environ=ENVIRON) as started:
        yield started


def test_a_photograph_of_a_cat_is_a_cat(system: System) -> None:
    with (SAMPLES / "chelsea.jpg").open("rb") as file:
        answer = requests.post(system.url, files={"file": file}, timeout=SOON_S)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "cat" in answer.text or answer.text.strip() in {"tabby", "Siamese", "lynx"}


def test_a_hundred_photographs_go_from_zero_workers_to_some_and_back(system: System) -> None:
    # given a system at rest
    wait_for(lambda: not system.workers(), SOON_S)

    # when a hundred are uploaded at once
    uploaded = photographs(100)
    batch = upload(system.url, uploaded)["batch"]
    wait_for(system.workers, SOON_S)
    wait_for(lambda: state(system.url, batch)["pending"] == 0, SOON_S)

    # then each has its own result, the right one
    jobs = state(system.url, batch)["jobs"]
    expected = labels()
    assert [job["name"] for job in jobs] == [path.name for path in uploaded]
    assert {job["status"] for job in jobs} == {"done"}
    assert all(job["label"] == expected[job["name"]] for job in jobs)

    # and the fleet is back at zero
    wait_for(lambda: not system.workers(), SOON_S)


def test_uploads_that_each_wait_all_get_their_own_label(system: System) -> None:
    answers, seconds = load.burst(system.url, PHOTOGRAPHS, 50, timeout_s=SOON_S)

    summed = load.Round.of(answers, seconds, labels())
    assert (summed.images, summed.missing, summed.mismatched) == (50, 0, 0), answers


def test_an_image_that_cannot_be_decoded_fails_and_the_others_go_on(
    system: System, tmp_path: Path
) -> None:
    # given a photograph that ends in the middle
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes((SAMPLES / "coffee.jpg").read_bytes()[:20_000])

    jobs = upload(system.url, [SAMPLES / "chelsea.jpg", truncated], wait=SOON_S)["jobs"]

    assert [job["status"] for job in jobs] == ["done", "failed"]
    assert jobs[1]["error"]["code"] == "truncated"


def test_a_killed_scaler_is_noticed_and_everything_stops(tmp_path: Path) -> None:
    with running(tmp_path / "log", environ=ENVIRON) as system:
        processes = system.all_processes()
        system.scaler().kill()

        assert system.process.wait(SOON_S) == 1

    assert "scaler ended with exit code -9" in system.log.read_text()
    assert not [each for each in processes if each.is_running()]


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    # given a system in the middle of its work
    with running(tmp_path / "log", environ=ENVIRON) as system:
        upload(system.url, photographs(100))
        wait_for(system.workers, SOON_S)
        processes = system.all_processes()

        status = system.stop()

    assert status == 0
    assert len(processes) >= 4
    assert not [each for each in processes if each.is_running()]


def test_uploads_and_results_survive_a_restart(tmp_path: Path) -> None:
    kept = str(tmp_path / "state")
    with running(tmp_path / "log", "--state", kept, environ=ENVIRON) as system:
        before = upload(system.url, PHOTOGRAPHS, wait=SOON_S)

    with running(tmp_path / "log2", "--state", kept, environ=ENVIRON) as system:
        after = state(system.url, before["batch"])
        again = upload(system.url, PHOTOGRAPHS, wait=SOON_S)

    assert after["jobs"] == before["jobs"]
    assert [job["label"] for job in again["jobs"]] == [job["label"] for job in before["jobs"]]


def test_two_systems_on_one_machine_leave_each_other_alone(system: System, tmp_path: Path) -> None:
    with running(tmp_path / "log", environ=ENVIRON) as other, ThreadPoolExecutor() as pool:
        batches = list(
            pool.map(lambda each: upload(each.url, PHOTOGRAPHS, wait=SOON_S), [system, other])
        )

    assert {job["status"] for batch in batches for job in batch["jobs"]} == {"done"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "PORT"], "port PORT cannot be used (Address already in use)"),
        (["--port", "0"], "--port takes a number from 1 to 65535"),
        (["--max-workers", "21"], "--max-workers takes a number from 1 to 20"),
        (["--state", "/proc/nowhere"], "cannot keep state in /proc/nowhere"),
    ],
)
def test_what_cannot_work_is_said_in_one_clear_line(arguments: list[str], complaint: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = [argument.replace("PORT", port) for argument in arguments]

        command = [sys.executable, "-m", "imagefleet_scripts.up", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SOON_S)

    assert ended.returncode in {1, 2}
    assert complaint.replace("PORT", port) in ended.stderr
    assert "Traceback" not in ended.stderr
