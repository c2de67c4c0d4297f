"""Judges the files of an upload: which become jobs, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagefleet_core.jobs import JobId, Result
from imagefleet_core.keys import input_key
from imagefleet_web import problems, shapes
from imagefleet_web.problems import Problem
from imagefleet_web.telling.results import Standing
from imagefleet_web.uploads.limits import Limits
from imagefleet_web.uploads.receiving import ReceivedFile
from imagefleet_web.uploads.spool import SpooledFile


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that became a job."""

    job: JobId
    name: str
    key: str
    content_type: str
    body: SpooledFile


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that did not, and why."""

    name: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of one request's files, in the order sent.

    Attributes:
        replayed: whether they were accepted before, with an earlier request.
        answered: the results of those that needed no work.
    """

    batch: str
    files: tuple[Taken | Refused, ...]
    replayed: bool = False
    answered: tuple[Result, ...] = ()

    @property
    def taken(self) -> list[Taken]:
        """Those that became jobs."""
        return [file for file in self.files if isinstance(file, Taken)]

    @property
    def refused(self) -> list[Refused]:
        """Those that did not."""
        return [file for file in self.files if isinstance(file, Refused)]

    def standing(self) -> Standing:
        """Return where its jobs stand at first."""
        names = {one.job.number: one.name for one in self.taken}
        return Standing(self.batch, names, {each.job.number: each for each in self.answered})


def judge(batch: str, files: Sequence[ReceivedFile], limits: Limits) -> Upload:
    """Give a number, from 1 in the order sent, to each file that passes the limits.

    Raises:
        Problem: none passes; it names each file's own.
    """
    number, judged = 1, []
    for file in files:
        one = _judge_one(JobId(batch, number), file, limits)
        number += isinstance(one, Taken)
        judged.append(one)
    upload = Upload(batch, tuple(judged))
    if not upload.taken:
        raise _all_refused(upload.refused)
    return upload


def _judge_one(job: JobId, file: ReceivedFile, limits: Limits) -> Taken | Refused:
    try:
        content_type = limits.check(file.body.size, file.body.open())
    except Problem as problem:
        return Refused(file.name, problem)
    return Taken(job, file.name, input_key(job, file.name), content_type, file.body)


def _all_refused(refused: Sequence[Refused]) -> Problem:
    """Return the problem to answer with: that of the files if they share one."""
    kinds = {file.problem.kind for file in refused}
    kind = kinds.pop() if len(kinds) == 1 else problems.ALL_REFUSED
    detail = " ".join(f"{file.name}: {file.problem}" for file in refused[:3])
    if more := refused[3:]:
        detail += f" And {len(more)} more."
    return Problem(
        kind, detail, jobs=[shapes.rejected(file.name, file.problem) for file in refused]
    )
