"""The JSON and text forms of jobs and batches; what each field means is told in `objects`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from imagefleet_core.fields import format_time
from imagefleet_core.jobs import JobId, Result, Status
from imagefleet_web.ids import made_at
from imagefleet_web.objects import (
    Batch,
    BatchSummary,
    Job,
    PastBatch,
    PresignedUploads,
    Reason,
    RejectedFile,
    Upload,
)
from imagefleet_web.problems import Problem
from imagefleet_web.telling.results import Counts, Standing
from imagefleet_web.uploads.presigning import Offer

API = "/api/v1"

Json = dict[str, Any]


def job_url(job: JobId) -> str:
    """Return the path that tells where a job stands."""
    return f"{API}/jobs/{job}"


def batch_url(batch: str) -> str:
    """Return the path that tells where a batch stands."""
    return f"{API}/batches/{batch}"


def job(job: JobId, name: str, result: Result | None, upload_until: datetime | None = None) -> Job:
    """Return a job's object; while it has no result, its fields are there and null."""
    if result is None:
        submitted_at = made_at(job.batch)
        return {
            "id": str(job),
            "batch": job.batch,
            "url": job_url(job),
            "name": name,
            "status": "pending",
            "label": None,
            "score": None,
            "top": None,
            "output": None,
            "error": None,
            "model": None,
            "worker": None,
            "submitted_at": format_time(submitted_at) if submitted_at else None,
            "started_at": None,
            "finished_at": None,
            "reused_from": None,
            "upload_expires_at": format_time(upload_until) if upload_until else None,
        }
    error = result.error
    return {
        "id": str(job),
        "batch": job.batch,
        "url": job_url(job),
        "name": result.name,
        "status": result.status.value,
        "label": result.label,
        "score": result.score,
        "top": [{"label": each.label, "score": each.score} for each in result.top],
        "output": None if result.output is None else dict(result.output),
        "error": None if error is None else {"code": error.code, "message": error.message},
        "model": result.model or None,
        "worker": result.worker or None,
        "submitted_at": format_time(result.submitted_at),
        "started_at": format_time(result.started_at),
        "finished_at": format_time(result.finished_at),
        "reused_from": str(result.reused_from) if result.reused_from else None,
        "upload_expires_at": None,
    }


def rejected(name: str, problem: Problem) -> RejectedFile:
    """Return the object of a file that was refused, and so is no job."""
    error: Reason = {"code": problem.kind.code, "message": str(problem)}
    return {"id": None, "name": name, "status": "rejected", "error": error}


def jobs(standing: Standing) -> list[Job]:
    """Return the objects of jobs in the order of their numbers."""
    return [
        job(
            JobId(standing.batch, number),
            name,
            standing.results.get(number),
            standing.uploads.get(number),
        )
        for number, name in sorted(standing.names.items())
    ]


def batch(standing: Standing) -> Batch:
    """Return a batch's object."""
    return {**summary(standing), "jobs": jobs(standing)}


def summary(standing: Standing) -> BatchSummary:
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


def upload(batch: str, jobs: list[Job | RejectedFile]) -> Upload:
    """Return the object of an upload: what became of its files, in the order sent."""
    return {"batch": batch, "url": batch_url(batch), "jobs": jobs}


def presigned(offer: Offer) -> PresignedUploads:
    """Return the object of a batch that is yet to be uploaded."""
    return {
        "batch": offer.batch,
        "url": batch_url(offer.batch),
        "uploads": [
            {
                "id": str(each.job),
                "url": job_url(each.job),
                "name": each.name,
                "post": {"url": each.form.url, "fields": each.form.fields},
                "expires_at": format_time(offer.until),
            }
            for each in offer.uploads
        ],
    }


def past(batch: str, counts: Counts) -> PastBatch:
    """Return a batch's object in the list of them; how many failed only its results can tell."""
    submitted_at = made_at(batch)
    return {
        "batch": batch,
        "url": batch_url(batch),
        "submitted_at": format_time(submitted_at) if submitted_at else None,
        "total": counts.total,
        "finished": counts.finished,
        "pending": counts.total - counts.finished,
    }


def lines(jobs: Iterable[Job | RejectedFile]) -> str:
    """Return one line a job: its answer, or `error: …` or `pending: …`."""
    return "".join(f"{_line(each)}\n" for each in jobs)


def answer(job: Job) -> str:
    """Return what became of a job that is done, in a line: its label, or its output as JSON."""
    if job["output"] is None:
        return _in_a_line(str(job["label"]))
    return json.dumps(job["output"], ensure_ascii=False, separators=(",", ":"))


def _in_a_line(text: str) -> str:
    """Return a text that cannot pose as several answers, whatever a worker wrote."""
    return " ".join(text.splitlines())


def _line(job: Job | RejectedFile) -> str:
    if job["error"] is not None:
        return _in_a_line(f"error: {job['error']['message']}")
    return _in_a_line(answer(job)) if job["status"] == "done" else f"pending: {job['url']}"
