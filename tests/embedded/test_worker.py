"""A worker as a process of its own over the embedded emulator, with real photographs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fault_kinds import Hold
from fault_proxy import FaultProxy
from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scripts import emulator
from place import Place, place_on
from system import PHOTOGRAPHS, SAMPLES, wait_for

pytestmark = pytest.mark.embedded

RESULTS_S = 180
EXIT_S = 120


def test_photographs_get_their_labels_and_whoever_asked_is_told(place: Place) -> None:
    jobs = place.submit(PHOTOGRAPHS * 5)

    with place.worker():
        wait_for(lambda: place.finished(jobs) == len(jobs), RESULTS_S)
        wait_for(lambda: place.requests.counts().total == 0, RESULTS_S)

    place.verify(jobs)
    assert sorted(place.told()) == jobs


def test_a_file_put_into_the_inbox_is_classified_without_any_other_call(place: Place) -> None:
    place.store.put_image("inbox/my cat.jpg", (SAMPLES / "chelsea.jpg").read_bytes(), "image/jpeg")

    with place.worker():
        wait_for(lambda: "my cat.jpg" in place.log(), RESULTS_S)
        wait_for(lambda: place.requests.counts().total == 0, RESULTS_S)

    assert "Egyptian cat" in place.log()


def test_sigterm_in_the_middle_loses_nothing_and_hides_nothing(place: Place) -> None:
    # given a worker in the middle of its work
    jobs = place.submit(PHOTOGRAPHS * 30)
    with FaultProxy(place.endpoint) as proxy, place.worker(AWS_ENDPOINT_URL=proxy.url) as first:
        slow = proxy.inject(Hold(calls={"PutObject"}, seconds=2, after=20))
        wait_for(lambda: place.finished(jobs) >= 20, RESULTS_S)

        first.send_signal(signal.SIGTERM)
        slow.end()
        assert first.wait(EXIT_S) == 0

    # then every image is either finished or there for the next worker at once
    finished, waiting = place.finished(jobs), place.requests.counts()
    assert 20 <= finished < len(jobs)
    assert (waiting.visible, waiting.in_flight) == (len(jobs) - finished, 0)

    # and the next worker does the rest, each in its first try
    with place.worker("worker-2"):
        wait_for(lambda: place.finished(jobs) == len(jobs), RESULTS_S)
    place.verify(jobs)


def test_a_killed_workers_images_are_done_by_the_next(place: Place) -> None:
    jobs = place.submit(PHOTOGRAPHS * 20)
    with place.worker(IMAGEFLEET_VISIBILITY_S="3") as first:
        wait_for(lambda: place.finished(jobs) >= 20, RESULTS_S)
        first.kill()

    with place.worker("worker-2", IMAGEFLEET_VISIBILITY_S="3"):
        wait_for(lambda: place.finished(jobs) == len(jobs), RESULTS_S)
        wait_for(lambda: place.requests.counts().total == 0, RESULTS_S)

    place.verify(jobs)
    assert place.dead_letters.counts().total == 0


def test_a_worker_without_work_ends_and_tells_its_life(place: Place) -> None:
    jobs = place.submit(PHOTOGRAPHS)
    with place.worker(IMAGEFLEET_IDLE_EXIT_S="1") as worker:
        assert worker.wait(RESULTS_S) == 0

    telemetry = place.queues.open(place.settings.telemetry_queue)
    reports = [
        Report.decode(message.body) for message in telemetry.receive(wait_s=1, visibility_s=60)
    ]
    last = max(reports, key=lambda report: report.at)
    assert (last.worker, last.state) == ("worker-1", WorkerState.STOPPED)
    assert (last.done, last.failed, last.in_flight) == (len(jobs), 0, 0)
    assert 0.001 < last.service_s < 10


def test_a_worker_at_work_is_healthy(place: Place) -> None:
    def check() -> int:
        command = [sys.executable, "-m", "imagefleet_worker", "--healthy"]
        return subprocess.run(command, env=place.environment_of("worker-1", {})).returncode

    assert check() == 1
    with place.worker():
        wait_for(lambda: check() == 0, RESULTS_S)


def test_a_missing_queue_is_one_clear_line(place: Place) -> None:
    with place.worker(IMAGEFLEET_PREFIX="nobody-made-this") as worker:
        assert worker.wait(RESULTS_S) == 1

    (line,) = place.log().splitlines()
    assert "no queue is called nobody-made-this-requests: apply infra/data.yaml first" in line


def test_a_worker_outlives_its_aws_and_goes_when_told(tmp_path: Path) -> None:
    # given a worker whose emulator is gone
    started = emulator.start(tmp_path / "emulator", keep=False)
    try:
        with place_on(started.endpoint, tmp_path) as place:
            jobs = place.submit(PHOTOGRAPHS * 10)
            with place.worker(IMAGEFLEET_DRAIN_S="1") as worker:
                wait_for(lambda: place.finished(jobs) >= 5, RESULTS_S)
                started.process.kill()
                wait_for(lambda: "AWS does not answer" in place.log(), RESULTS_S)
                assert worker.poll() is None

                worker.send_signal(signal.SIGTERM)
                assert worker.wait(EXIT_S) == 0
    finally:
        started.process.kill()
        started.process.wait()

    assert "Traceback" not in place.log()
