"""The heartbeat stops when the worker is unwell, and a worker that stays so is told to give up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from clock import Clock
from imagefleet_core.errors import Unavailable
from imagefleet_worker.health.heartbeat import GIVE_UP_S, STUCK_S, Heartbeat
from imagefleet_worker.leases import LONGEST_HOLD_S
from imagefleet_worker.stage import Stage


class Patient:
    """A heartbeat over one stage and one check, on the test's clock."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "alive"
        self.clock = Clock()
        self.problem = ""
        self.handle: Any = lambda _items: None
        self.stage: Stage[int] = Stage(
            "classifying", lambda items: self.handle(items), self._spoil, clock=self.clock
        )
        self.heartbeat = Heartbeat(
            self.file, [self.stage], checks=[lambda: self.problem], clock=self.clock
        )

    def beats(self) -> bool:
        """Take a turn; return whether the file was touched."""
        self.file.unlink(missing_ok=True)
        self.heartbeat.turn()
        return self.file.exists()

    def _spoil(self, _item: int) -> None:
        """Let go of it."""


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_a_worker_without_work_is_well(patient: Patient) -> None:
    patient.clock.now += 10 * STUCK_S

    assert patient.beats()
    assert patient.heartbeat.hopeless() == ""


def test_a_stage_whose_input_nobody_takes_stops_the_heartbeat(patient: Patient) -> None:
    patient.stage.put([1])

    patient.clock.now += STUCK_S
    assert patient.beats()

    patient.clock.now += 1
    with capture_logs() as logs:
        assert not patient.beats()
        assert not patient.beats()
    assert [line["reason"] for line in logs] == ["classifying is stuck"]

    # and it beats again when the stage moves
    patient.stage.turn()
    assert patient.beats()


def test_one_thread_of_several_that_hangs_for_good_stops_the_heartbeat(patient: Patient) -> None:
    beats = []

    # given a turn that doesn't end while other threads take theirs
    def hang(_items: list[int]) -> None:
        patient.handle = lambda _items: None
        for _ in range(int(LONGEST_HOLD_S / 50) + 1):
            patient.clock.now += 50
            patient.stage._moved_at = patient.clock.now
            beats.append(patient.beats())

    patient.handle = hang
    patient.stage.put([1])
    patient.stage.turn()

    assert beats == [True] * (len(beats) - 1) + [False]


def test_an_outage_of_aws_is_not_being_stuck(patient: Patient) -> None:
    def refuse(_items: list[int]) -> None:
        raise Unavailable("nothing answers")

    patient.handle = refuse
    patient.stage.put([1])

    for _ in range(20):
        patient.stage.turn()
        patient.clock.now += 60
        assert patient.beats()


def test_whatever_a_check_finds_stops_the_heartbeat(patient: Patient) -> None:
    patient.problem = "receiving hangs"
    assert not patient.beats()

    patient.problem = ""
    assert patient.beats()


def test_a_worker_that_stays_unwell_is_hopeless(patient: Patient) -> None:
    patient.problem = "receiving hangs"

    assert patient.heartbeat.hopeless() == ""
    patient.clock.now += GIVE_UP_S
    assert patient.heartbeat.hopeless() == ""

    patient.clock.now += 1
    assert patient.heartbeat.hopeless() == "receiving hangs"


def test_a_worker_that_recovered_has_all_the_time_again(patient: Patient) -> None:
    patient.problem = "receiving hangs"
    patient.heartbeat.hopeless()
    patient.clock.now += GIVE_UP_S
    patient.problem = ""
    patient.heartbeat.hopeless()

    patient.problem = "extending hangs"
    patient.clock.now += 1
    assert patient.heartbeat.hopeless() == ""


def test_a_file_that_cannot_be_written_is_no_reason_to_give_up(tmp_path: Path) -> None:
    patient = Patient(tmp_path / "nowhere")

    with capture_logs() as logs:
        assert not patient.beats()
        patient.clock.now += 10 * GIVE_UP_S
        assert not patient.beats()

    assert len(logs) == 1
    assert patient.heartbeat.hopeless() == ""


def test_it_gives_up_while_what_it_holds_is_still_its_own() -> None:
    assert STUCK_S + GIVE_UP_S < LONGEST_HOLD_S
