"""The tables of errors in `docs/api.md` say what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from imagefleet_web import problems
from imagefleet_web.problems import Kind
from imagefleet_web.telling import janitor
from imagefleet_web.uploads import awaited
from imagefleet_worker.decoding.formats import Code
from imagefleet_worker.processors import output

API = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
KINDS = [each for each in vars(problems).values() if isinstance(each, Kind)]


def rows(heading: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the codes and the other cells of each row of the table with a heading."""
    table = API.partition(f"| {heading} |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        codes, *others = [cell.strip() for cell in line.strip("|").split(" | ")]
        yield re.findall("`([^`]+)`", codes), others


def test_every_kind_of_problem_stands_in_the_table_once_with_its_status() -> None:
    told = [(code, status) for codes, (status, _) in rows("code | status | when") for code in codes]

    assert sorted(told) == sorted((kind.code, str(kind.status)) for kind in KINDS)


def test_every_reason_of_a_failed_job_stands_in_the_table_once() -> None:
    told = [code for codes, _ in rows("code | what became of the image") for code in codes]

    ours = {output.FAILED, output.TOO_LARGE, janitor.WORKER_CRASHED.code, awaited.NOT_UPLOADED.code}
    assert sorted(told) == sorted({*get_args(Code), "image_missing", "file_too_large", *ours})


def test_every_code_is_of_one_kind_only() -> None:
    codes = [kind.code for kind in KINDS]

    assert len(set(codes)) == len(codes)
