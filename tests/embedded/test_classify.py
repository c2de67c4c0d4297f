"""The command-line client over the whole system, with real photographs."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from system import PHOTOGRAPHS, SAMPLES, System, labels, photographs, running, wait_for

pytestmark = pytest.mark.embedded

CLIENT = Path(__file__).parents[2] / "scripts/classify"
DEADLINE_S = 180


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    log = tmp_path_factory.mktemp("system") / "log"
    with running(log, "--max-workers", "2", environ={}) as started:
        yield started


def start(system: System, state: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start the client with its state in `state`."""
    command = [sys.executable, str(CLIENT), *map(str, arguments), "--state", str(state)]
    environ = os.environ | {"IMAGEFLEET_URL": system.url}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environ, stdout=pipe, stderr=pipe, text=True)


def rows(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(out.splitlines()))


def test_photographs_get_their_labels_and_other_files_a_reason(
    system: System, tmp_path: Path
) -> None:
    process = start(system, tmp_path / "state", SAMPLES, SAMPLES / "labels.csv")
    out, err = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1, err
    told = {Path(row["image"]).name: row for row in rows(out)}
    assert {name: row["label"] for name, row in told.items() if row["label"]} == labels()
    assert told["labels.csv"]["status"] == "rejected"
    assert told["labels.csv"]["error"] == "unsupported_format"


def test_after_an_interrupt_the_next_run_keeps_what_is_uploaded_and_sends_the_rest(
    system: System, tmp_path: Path
) -> None:
    # given many photographs, and a client that is interrupted as soon as some are uploaded
    for number, photograph in enumerate(photographs(300)):
        shutil.copy(photograph, tmp_path / f"{number:03}-{photograph.name}")
    state = tmp_path / "state"
    process = start(system, state, tmp_path)
    wait_for(lambda: uploaded(state), DEADLINE_S)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, out) == (130, "")
    assert "run the same command again to go on" in err
    known = uploaded(state)

    # when it runs again
    process = start(system, state, tmp_path)
    out, err = process.communicate(timeout=DEADLINE_S)

    # then each photograph has its own label, from the earlier upload where that was known
    assert process.returncode == 0, err
    told = rows(out)
    assert len(told) == 300
    expected = labels()
    assert all(row["label"] == expected[row["image"].split("-")[-1]] for row in told)
    assert known.items() <= uploaded(state).items()


def test_what_is_known_already_comes_without_the_service(system: System, tmp_path: Path) -> None:
    process = start(system, tmp_path / "state", *PHOTOGRAPHS)
    first, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err

    process = start(system, tmp_path / "state", *PHOTOGRAPHS)
    again, err = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, again) == (0, first)
    assert f"({len(PHOTOGRAPHS)} from an earlier run)" in err


def uploaded(state: Path) -> dict[bytes, str]:
    """Return the jobs that the client knows of, by path."""
    try:
        with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT path, job FROM images WHERE job IS NOT NULL")
            return dict(found.fetchall())
    except sqlite3.OperationalError:  # not there yet
        return {}
