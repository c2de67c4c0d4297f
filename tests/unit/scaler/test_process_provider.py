"""What only processes do; what every provider does is in test_providers.py."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from structlog.typing import EventDict

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.process import ProcessProvider, fleet_tag
from process_workers import PYTHON, ProcessWorkers, of_fleet
from system import wait_for

SOON_S = 60
SCALER = """
import os, sys
from imagefleet_scaler.providers.process import ProcessProvider
fleet, *command = sys.argv[1:]
ProcessProvider(fleet=fleet, command=command, environment={}, retire_grace_s=60).launch(2)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def processes() -> Iterator[ProcessWorkers]:
    with ProcessWorkers() as workers:
        yield workers


def test_workers_outlive_a_scaler_that_is_killed_and_are_found_again(
    processes: ProcessWorkers, fleet: str
) -> None:
    waits = [*PYTHON, "import signal; signal.pause()"]
    scaler = subprocess.run(
        [sys.executable, "-c", SCALER, fleet, *waits],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert scaler.returncode == -signal.SIGKILL

    provider = processes.open(fleet)
    found = [instance.id for instance in provider.list()]
    provider.retire(found)

    assert len(found) == 2
    wait_for(lambda: not provider.list(), SOON_S)


def test_what_a_worker_starts_is_no_worker(processes: ProcessWorkers, fleet: str) -> None:
    with_child = "import signal, subprocess as s; s.Popen(['sleep', '600']); signal.pause()"
    provider = processes.open(fleet, program=with_child)
    (worker,) = provider.launch(1)

    wait_for(lambda: len(of_fleet(fleet)) == 2, SOON_S)

    assert [instance.id for instance in provider.list()] == [worker]


def test_a_worker_that_ignores_its_retirement_is_killed_after_the_grace(
    processes: ProcessWorkers, fleet: str, logged: list[EventDict]
) -> None:
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
    provider = processes.open(fleet, program=stubborn, retire_grace_s=0)
    (worker,) = provider.launch(1)
    process = processes.process(worker)
    wait_for(lambda: ignores(process, signal.SIGTERM), SOON_S)

    provider.retire([worker])
    assert process.is_running()
    provider.sweep()

    wait_for(lambda: not provider.list(), SOON_S)
    assert [entry["event"] for entry in logged] == ["a worker did not go and is killed"]


def ignores(process: psutil.Process, number: signal.Signals) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask, 16) & 1 << (number - 1))


@pytest.mark.parametrize(
    ("program", "event", "how"),
    [
        ("import sys; sys.exit(3)", "a worker died", "with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "a worker died", "by SIGKILL"),
        ("", "a worker has ended", None),
    ],
    ids=["exit code", "signal", "of its own accord"],
)
def test_how_a_worker_ended_is_said_once(
    processes: ProcessWorkers,
    fleet: str,
    logged: list[EventDict],
    program: str,
    event: str,
    how: str | None,
) -> None:
    provider = processes.open(fleet, program=program)
    (worker,) = provider.launch(1)

    def swept() -> bool:
        provider.sweep()
        return bool(logged)

    wait_for(swept, SOON_S)
    provider.sweep()

    (entry,) = logged
    assert (entry["event"], entry["worker"], entry.get("how")) == (event, worker, how)


def test_a_worker_knows_its_fleet_and_id_and_what_the_scaler_was_given(
    processes: ProcessWorkers, fleet: str
) -> None:
    provider = processes.open(fleet)

    first, second = provider.launch(2)

    environments = [processes.process(worker).environ() for worker in (first, second)]
    assert [each["IMAGEFLEET_WORKER_ID"] for each in environments] == [first, second]
    assert {each["PATH"] for each in environments} == {"/usr/bin:/bin"}


def test_a_worker_leads_a_session_that_no_ctrl_c_reaches(
    processes: ProcessWorkers, fleet: str
) -> None:
    (worker,) = processes.open(fleet).launch(1)

    pid = processes.process(worker).pid

    assert os.getsid(pid) == os.getpgid(pid) == pid != os.getsid(0)


def test_a_command_that_is_missing_is_one_clear_line(fleet: str) -> None:
    provider = ProcessProvider(
        fleet=fleet, command=["/no/such/program"], environment={}, retire_grace_s=60
    )

    with pytest.raises(ProviderError, match=r"a worker could not be started: .*/no/such/program"):
        provider.launch(1)


def test_systems_on_other_endpoints_are_other_fleets() -> None:
    assert fleet_tag("imagefleet", "http://127.0.0.1:4566") == "imagefleet@http://127.0.0.1:4566"
    assert fleet_tag("imagefleet", "") == "imagefleet@aws"
