"""A batch's results as a table (CSV, RFC 4180) or as JSON Lines, written piece by piece."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from imagefleet_web import shapes
from imagefleet_web.objects import Job
from imagefleet_web.telling.results import Standing

COLUMNS = (
    "job",
    "name",
    "status",
    "label",
    "score",
    "output",
    "error_code",
    "error_message",
    "model",
    "worker",
    "submitted_at",
    "started_at",
    "finished_at",
)

# A spreadsheet takes a cell that begins so for a formula, and an apostrophe before it for text.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001  # some take the wide forms too

# JSON takes them as they are, and many who read line by line for the end of one.
_NO_LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})


def table(pieces: Iterable[Standing]) -> Iterator[str]:
    """Yield a batch as CSV: a row for the columns' names, then one for each job."""
    yield _rows([COLUMNS])
    for piece in pieces:
        yield _rows(_row(job) for job in shapes.jobs(piece))


def lines(pieces: Iterable[Standing]) -> Iterator[str]:
    """Yield a batch as JSON Lines: each job's object as the API tells it everywhere."""
    for piece in pieces:
        written = (json.dumps(job, ensure_ascii=False) for job in shapes.jobs(piece))
        yield "".join(f"{each.translate(_NO_LINE_ENDS)}\n" for each in written)


def _row(job: Job) -> list[str | float | None]:
    error = job["error"]
    values: dict[str, Any] = {
        **job,
        "job": job["id"],
        "output": None if job["output"] is None else shapes.answer(job),
        "error_code": error and error["code"],
        "error_message": error and error["message"],
    }
    return [_harmless(values[column]) for column in COLUMNS]


def _harmless(cell: str | float | None) -> str | float | None:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _rows(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
