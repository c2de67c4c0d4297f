"""docs/security.md names code and tests that exist, for every threat in its tables."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/security.md").read_text()
STRIDE = set("STRIDE")
# Tests which show that what is right is not refused along with what is wrong.
ALLOWED = {
    "test_the_page_and_programs_upload",
    "test_a_key_is_proof_enough_wherever_the_program_runs",
    "test_a_worker_writes_results_and_reads_them",
}


def threats() -> list[list[str]]:
    """Return the cells of each row of the tables of threats."""
    rows = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]
    return [cells for cells in rows if len(cells) == 5 and cells[0] in STRIDE]


@cache
def existing_tests() -> set[str]:
    text = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    return set(re.findall(r"^ *def (test_\w+)", text, re.MULTILINE))


def test_there_are_threats_of_each_kind_of_stride() -> None:
    assert {kind for kind, *_ in threats()} == STRIDE
    assert len(threats()) > 40


@pytest.mark.parametrize("cells", threats(), ids=lambda cells: cells[1])
def test_a_threat_has_an_answer_in_code_that_exists_and_tests_that_exist(cells: list[str]) -> None:
    _, threat, answer, where, tests = cells

    assert threat.strip()
    assert answer.strip()
    paths, names = re.findall(r"`([^`]+)`", where), re.findall(r"`([^`]+)`", tests)
    assert paths
    assert names
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    assert set(names) - existing_tests() == set()


def test_every_test_of_a_threat_stands_in_a_table() -> None:
    ours = {
        name
        for file in (ROOT / "tests").rglob("test_threats_*.py")
        if file != Path(__file__)
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    told = {name for *_, tests in threats() for name in re.findall(r"`(test_\w+)`", tests)}

    assert ours - told == ALLOWED
