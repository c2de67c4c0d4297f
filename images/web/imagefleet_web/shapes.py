"""The JSON and text forms of jobs and batches."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from imagefleet_core.fields import format_time
from imagefleet_core.jobs import JobId, Result, Status
from imagefleet_web.ids import made_at
from imagefleet_web.problems import Problem
from imagefleet_web.results import Counts, Standing

API = "/api/v1"

Json = dict[str, Any]


def job_url(job: JobId) -> str:
    """Return the path that tells where a job stands."""
    return f"{API}/jobs/{job}"


def batch_url(batch: str) -> str:
    """Return the path that tells where a batch stands."""
    return f"{API}/batches/{batch}"


def job(job: JobId, name: str, result: Result | None) -> Json:
    """Return a job's object; while it has no result, its fields are there and null."""
    known = {"id": str(job), "batch": job.batch, "url": job_url(job)}
    if result is None:
        submitted_at = made_at(job.batch)
        return known | {
            "name": name,
            "status": "pending",
            "label": None,
            "score": None,
            "top": None,
            "output": None,
            "error": None,
            "model": None,
            "worker": None,
            "submitted_at": submitted_at and format_time(submitted_at),
            "started_at": None,
            "finished_at": None,
        }
    error = result.error
    return known | {
        "name": result.name,
        "status": result.status.value,
        "label": result.label,
        "score": result.score,
        "top": [{"label": each.label, "score": each.score} for each in result.top],
        "output": result.output,
        "error": error and {"code": error.code, "message": error.message},
        "model": result.model or None,
        "worker": result.worker,
        "submitted_at": format_time(result.submitted_at),
        "started_at": format_time(result.started_at),
        "finished_at": format_time(result.finished_at),
    }


def rejected(name: str, problem: Problem) -> Json:
    """Return the object of a file that was refused, and so is no job."""
    error = {"code": problem.kind.code, "message": str(problem)}
    return {"id": None, "name": name, "status": "rejected", "error": error}


def jobs(standing: Standing) -> list[Json]:
    """Return the objects of jobs in the order of their numbers."""
    return [
        job(JobId(standing.batch, number), name, standing.results.get(number))
        for number, name in sorted(standing.names.items())
    ]


def summary(standing: Standing) -> Json:
    """Return a batch's object without its jobs."""
    statuses = [result.status for result in standing.results.values()]
    return {
        "batch": standing.batch,
        "url": batch_url(standing.batch),
        "total": len(standing.names),
        "done": statuses.count(Status.DONE),
        "failed": statuses.count(Status.FAILED),
        "pending": len(standing.pending),
    }


def past(batch: str, counts: Counts) -> Json:
    """Return a batch's object in the list of them; how many failed only its results can tell."""
    submitted_at = made_at(batch)
    return {
        "batch": batch,
        "url": batch_url(batch),
        "submitted_at": submitted_at and format_time(submitted_at),
        "total": counts.total,
        "finished": counts.finished,
        "pending": counts.total - counts.finished,
    }


def lines(jobs: Iterable[Json]) -> str:
    """Return one line a job: its answer, or `error: …` or `pending: …`."""
    return "".join(f"{_line(each)}\n" for each in jobs)


def answer(job: Json) -> str:
    """Return what became of a job that is done, in a line: its label, or its output as JSON."""
    if job["output"] is None:
        return str(job["label"])
    return json.dumps(job["output"], ensure_ascii=False, separators=(",", ":"))


def _line(job: Json) -> str:
    match job["status"]:
        case "done":
            return answer(job)
        case "pending":
            return f"pending: {job['url']}"
    return f"error: {job['error']['message']}"
