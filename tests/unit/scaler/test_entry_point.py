import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagefleet_scaler.__main__ import main
from imagefleet_scripts.emulator import free_port
from system import wait_for

SOON_S = 60
# How long a scaler would pause that nobody wakes.
TICK_S = 60


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment with an AWS that does not answer, and nothing else of ours."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "IMAGEFLEET_", "DOCKER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("IMAGEFLEET_HEARTBEAT_FILE", str(tmp_path / "alive"))


def test_all_mistakes_in_the_settings_are_told_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGEFLEET_MAX_WORKERS", "many")
    monkeypatch.setenv("IMAGEFLEET_TICK_S", "0")

    assert main(["--provider", "pods"]) == 2

    told = capsys.readouterr().err.splitlines()
    assert sorted(line.split()[0] for line in told) == [
        "IMAGEFLEET_MAX_WORKERS",
        "IMAGEFLEET_PROVIDER",
        "IMAGEFLEET_TICK_S",
    ]


def test_a_minimum_above_the_maximum_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGEFLEET_MIN_WORKERS", "21")

    assert main([]) == 2

    assert capsys.readouterr().err == (
        "IMAGEFLEET_MIN_WORKERS is 21: expected at most IMAGEFLEET_MAX_WORKERS, 20\n"
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imagefleet_scaler", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        text=True,
    )


def test_a_missing_socket_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")

    done = run("--provider", "docker")

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"imagefleet-scaler: no Docker engine at unix://{tmp_path}/docker.sock")


def test_help_lists_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])

    assert "IMAGEFLEET_SCALE_IN_AFTER_S" in capsys.readouterr().out


def test_a_scaler_is_well_while_its_heartbeat_is_fresh(tmp_path: Path) -> None:
    heartbeat = tmp_path / "alive"

    before = main(["--healthy"])
    heartbeat.touch()
    fresh = main(["--healthy"])
    os.utime(heartbeat, (time.time() - 60, time.time() - 60))
    stale = main(["--healthy"])

    assert (before, fresh, stale) == (1, 0, 1)


def test_one_turn_that_fails_is_told_by_the_exit_status() -> None:
    done = run("--dry-run", "--once")

    assert done.returncode == 1
    assert "nothing answers at http://127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("lease_s", "said"), [("0", "this turn failed"), ("10", "nobody knows which scaler acts")]
)
def test_sigterm_ends_the_scaler_at_once_though_aws_does_not_answer(
    tmp_path: Path, lease_s: str, said: str
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        scaler = subprocess.Popen(
            [sys.executable, "-m", "imagefleet_scaler"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "IMAGEFLEET_TICK_S": str(TICK_S),
                "IMAGEFLEET_LEASE_S": lease_s,
            },
            stderr=output,
        )
    wait_for(lambda: said in log.read_text(), SOON_S)

    scaler.send_signal(signal.SIGTERM)

    assert scaler.wait(TICK_S / 2) == 0
