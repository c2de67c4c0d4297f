"""What the worker's command line says and returns, and how a worker begins."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagefleet_core.errors import Misconfigured, QueueMissing, Unavailable
from imagefleet_core.settings import load
from imagefleet_worker import __main__ as entry
from imagefleet_worker.drain import Stop
from imagefleet_worker.health.heartbeat import STUCK_S
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.startup import PATIENCE_S, await_aws
from worker_tier import PACKAGES, Tier, picture


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the worker as a process, without any AWS."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "imagefleet_worker", *arguments],
        env={**clean, "PYTHONPATH": os.pathsep.join(PACKAGES), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_mistake_in_the_settings_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGEFLEET_MAX_BATCH", "0")
    monkeypatch.setenv("IMAGEFLEET_DRAIN_S", "soon")

    assert entry.main([]) == 2

    first, second = capsys.readouterr().err.splitlines()
    assert "IMAGEFLEET_MAX_BATCH is '0': expected a whole number at least 1" in first
    assert "IMAGEFLEET_DRAIN_S is 'soon': expected a number at least 0" in second


def test_help_lists_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        entry.main(["--help"])

    assert "IMAGEFLEET_VISIBILITY_S" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"IMAGEFLEET_MODEL_DIR": "/nowhere"}, "/nowhere holds no exported network"),
        ({"AWS_DEFAULT_REGION": ""}, "connecting to S3"),
        ({"AWS_ENDPOINT_URL": "localhost:4566"}, "check AWS_ENDPOINT_URL"),
    ],
)
def test_what_cannot_work_is_one_clear_line(environ: dict[str, str], complaint: str) -> None:
    arguments = ["--check"] if "IMAGEFLEET_MODEL_DIR" in environ else []

    ended = run(*arguments, **{"AWS_DEFAULT_REGION": "us-east-1", **environ})

    assert ended.returncode == 1
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_missing_region_is_named(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none")

    ended = run(AWS_CONFIG_FILE=nowhere, AWS_EC2_METADATA_DISABLED="true")

    assert ended.returncode == 1
    assert "no AWS region: set AWS_DEFAULT_REGION" in ended.stderr


def test_a_check_classifies_without_any_aws() -> None:
    ended = run("--check")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("efficientnet-lite0@")


EXAMPLE = str(Path(__file__).parents[3] / "examples/photo-quality")


def test_a_check_proves_that_ones_own_work_works() -> None:
    path = os.pathsep.join([*PACKAGES, EXAMPLE])

    ended = run("--check", PYTHONPATH=path, IMAGEFLEET_PROCESSOR="quality:PhotoQuality")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith('photo-quality@1 works: a grey picture gives {"sharpness": 0.0')


def test_a_check_says_why_ones_own_work_does_not() -> None:
    ended = run("--check", IMAGEFLEET_PROCESSOR="quality:PhotoQuality")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "imagefleet-worker: there is no module quality: PYTHONPATH must name the folder it is in\n"
    )


def test_a_worker_is_healthy_while_its_heartbeat_is_fresh(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEFLEET_HEARTBEAT_FILE", str(tier.folder / "alive"))
    assert entry.main(["--healthy"]) == 1

    tier.worker().heartbeat.turn()
    assert entry.main(["--healthy"]) == 0

    an_age_ago = time.time() - 60
    os.utime(tier.folder / "alive", (an_age_ago, an_age_ago))
    assert entry.main(["--healthy"]) == 1


def test_a_health_check_loads_nothing_heavy() -> None:
    heavy = ["boto3", "botocore", "numpy", "openvino", "structlog", "PIL"]
    program = (
        "import sys; from imagefleet_worker.__main__ import main; main(['--healthy']); "
        f"print([each for each in {heavy} if each in sys.modules])"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.stdout.strip() == "[]"


def test_a_stuck_stage_stops_the_heartbeat_though_others_go_on(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[bool] = []
    alive = tier.folder / "alive"
    worker = tier.worker()

    def hang(_pictures: object) -> list[Outcome]:
        for seconds in (STUCK_S / 2, STUCK_S):
            tier.clock.now += seconds
            alive.unlink(missing_ok=True)
            worker.heartbeat.turn()
            beats.append(alive.exists())
        return []

    monkeypatch.setattr(tier.colours, "process", hang)
    tier.submit([picture((1, 1, 1))])
    worker.consumer.turn()
    worker.pipeline.fetching.turn()
    worker.pipeline.decoding.turn()
    worker.pipeline.processing.turn()

    assert beats == [True, False]


def test_a_heartbeat_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    worker = Tier(tmp_path).worker(heartbeat_file=str(tmp_path / "no" / "folder"))

    worker.heartbeat.turn()

    assert not (tmp_path / "no").exists()


def test_each_worker_of_a_machine_has_its_own_heartbeat() -> None:
    names = {load(WorkerSettings, {"IMAGEFLEET_WORKER_ID": each}).heartbeat for each in "ab"}

    assert len(names) == 2


def awaited(tier: Tier, stop: Stop | None = None) -> float:
    """Wait for AWS on the test's clock; return the seconds it took."""
    began = tier.clock.now

    def pause(seconds: float) -> None:
        tier.clock.now += seconds
        if stop and tier.clock.now > began + 5:
            stop.ask()

    settings = WorkerSettings()
    await_aws(settings, tier.store, tier.queues, stop or Stop(), clock=tier.clock, pause=pause)
    return tier.clock.now - began


def test_a_worker_waits_for_an_aws_that_is_not_there_yet(tier: Tier) -> None:
    tier.requests.outage.begin(times=3)
    tier.store.outage.begin("ping", times=1)

    assert 3 < awaited(tier) < 10


def test_a_worker_gives_up_on_an_aws_that_does_not_come(tier: Tier) -> None:
    tier.store.outage.begin()
    began = tier.clock.now

    with pytest.raises(Unavailable, match="ping"):
        awaited(tier)

    assert PATIENCE_S <= tier.clock.now - began < PATIENCE_S + 15


def test_what_only_a_person_can_put_right_is_not_waited_for(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ping() -> None:
        raise Misconfigured("the bucket does not exist")

    monkeypatch.setattr(tier.store, "ping", ping)
    with pytest.raises(Misconfigured, match="bucket"):
        awaited(tier)

    tier.requests.missing = True
    with pytest.raises(QueueMissing, match="imagefleet-requests"):
        awaited(tier)


def test_a_worker_told_to_stop_does_not_go_on_waiting(tier: Tier) -> None:
    tier.store.outage.begin()

    assert awaited(tier, Stop()) < 6
