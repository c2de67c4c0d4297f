"""Where jobs and batches stand."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from imagefleet_core.jobs import JobId, Request, new_batch_id
from imagefleet_core.keys import result_key
from web_tier import CHELSEA, COFFEE, MEASURED, Web, World, eventually

TEXT = {"Accept": "text/plain"}


def test_a_job_is_pending_until_its_result_is_stored(web: Web, world: World) -> None:
    job = web.upload(("my cat.jpg", CHELSEA)).json["jobs"][0]

    before = web.get(job["url"]).json
    world.finish(world.take(1), reply=False)
    after = web.get(job["url"]).json

    # then both have the same fields and the same time of submission
    assert (before["status"], after["status"]) == ("pending", "done")
    assert before.keys() == after.keys() == job.keys()
    assert before["submitted_at"] == after["submitted_at"] == job["submitted_at"]
    assert [before[name] for name in ("label", "top", "model", "finished_at")] == [None] * 4
    # and the name is the one given, once that is known
    assert (before["name"], after["name"]) == ("my-cat.jpg", "my cat.jpg")


def test_a_pending_job_is_told_without_a_list_of_its_batch(web: Web, world: World) -> None:
    job = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE)).json["jobs"][1]
    for call in ("image_names", "list_results"):
        world.store.outage.begin(call)

    told = web.get(job["url"]).json

    assert (told["id"], told["name"], told["status"]) == (job["id"], "2.jpg", "pending")


def test_a_reply_is_enough_to_know_a_result(web: Web, world: World) -> None:
    job = web.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    world.finish(world.take(1))
    web.listen()
    for call in ("get_result", "list_results", "image_names"):
        world.store.outage.begin(call)

    assert web.get(job["url"]).json["label"] == "1.jpg 1"


def test_an_output_is_told_as_it_is(web: Web, world: World) -> None:
    answer = web.upload(("measured.jpg", CHELSEA), ("2.jpg", COFFEE)).json
    world.finish(world.take(2))
    web.listen()

    told = web.get(f"/api/v1/batches/{answer['batch']}").json

    assert (told["done"], told["failed"]) == (2, 0)
    measured, labelled = told["jobs"]
    assert web.get(measured["url"]).json == measured
    assert (measured["status"], measured["output"]) == ("done", MEASURED)
    assert list(measured["output"]) == list(MEASURED)
    assert (measured["label"], measured["score"], measured["top"]) == (None, None, [])
    assert (labelled["label"], labelled["output"]) == ("2.jpg 1", None)
    batch = web.get(f"/api/v1/batches/{answer['batch']}", headers=TEXT).text.splitlines()
    assert (json.loads(batch[0]), batch[1]) == (MEASURED, "2.jpg 1")


def test_a_batch_tells_all_its_jobs_in_order(web: Web, world: World) -> None:
    names = ["1.jpg", "broken.jpg", "3.jpg", "4.jpg"]
    batch = web.upload(*[(name, CHELSEA) for name in names]).json["batch"]
    world.finish(world.take(4)[1:], reply=False)

    told = web.get(f"/api/v1/batches/{batch}").json

    assert told["batch"] == batch
    assert told["url"] == f"/api/v1/batches/{batch}"
    assert {name: told[name] for name in ("total", "done", "failed", "pending")} == {
        "total": 4,
        "done": 2,
        "failed": 1,
        "pending": 1,
    }
    assert [job["name"] for job in told["jobs"]] == names
    assert [job["status"] for job in told["jobs"]] == ["pending", "failed", "done", "done"]


def test_another_process_knows_the_same(web: Web, world: World) -> None:
    batch = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE)).json["batch"]
    world.finish(world.take(2))
    web.listen()

    url = f"/api/v1/batches/{batch}"
    assert Web(world).get(url).json == web.get(url).json


def test_results_outlive_their_images(web: Web, world: World) -> None:
    answer = web.upload(("1.jpg", CHELSEA)).json
    world.finish(world.take(1), reply=False)
    world.store.images.clear()

    assert web.get(f"/api/v1/batches/{answer['batch']}").json["jobs"][0]["label"] == "1.jpg 1"
    assert web.get(answer["jobs"][0]["url"]).json["label"] == "1.jpg 1"


def test_an_image_of_the_inbox_has_a_job_once_it_has_a_result(web: Web, world: World) -> None:
    job = JobId(new_batch_id(), 1)
    request = Request(job, "inbox/photo.jpg", "photo.jpg", None, datetime.now(UTC))
    world.finish([request])

    assert web.get(f"/api/v1/jobs/{job}").json["name"] == "photo.jpg"
    assert web.get(f"/api/v1/batches/{job.batch}").json["done"] == 1


def test_a_result_that_cannot_be_read_does_not_hide_the_others(web: Web, world: World) -> None:
    batch = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE)).json["batch"]
    world.finish(world.take(2), reply=False)
    world.store.results[result_key(JobId(batch, 1))] = b"{"

    told = web.get(f"/api/v1/batches/{batch}").json

    assert [job["status"] for job in told["jobs"]] == ["pending", "done"]
    assert web.get(f"/api/v1/jobs/{batch}-0001").json["status"] == "pending"


def test_labels_are_told_one_a_line_to_whoever_wants_text(web: Web, world: World) -> None:
    files = [("1.jpg", CHELSEA), ("text.jpg", b"text"), ("broken.jpg", COFFEE), ("4.jpg", CHELSEA)]
    asked = web.meanwhile(lambda: web.upload(*files, query_string={"wait": "20"}, headers=TEXT))
    requests = world.take(3)
    world.finish(requests[:2])
    web.listen()

    # when the process stops before the last result is there
    last = requests[2].job
    eventually(lambda: web.services.hub.wanted() == {last.batch: {last.number}})
    web.services.hub.close()

    answer = asked.answer()
    assert answer.status_code == 202
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text.splitlines() == [
        "1.jpg 1",
        "error: This is not a picture in JPEG, PNG, WebP, GIF, BMP or TIFF.",
        "error: The image ends too early.",
        f"pending: /api/v1/jobs/{last}",
    ]
    world.finish(requests[2:])
    assert web.get(f"/api/v1/jobs/{last}", headers=TEXT).text == "4.jpg 1\n"
    batch = web.get(f"/api/v1/batches/{last.batch}", headers=TEXT)
    assert batch.text.splitlines() == ["1.jpg 1", "error: The image ends too early.", "4.jpg 1"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,*/*;q=0.8", "application/json"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain;q=0.5, application/json", "application/json"),
    ],
)
def test_the_form_of_an_answer_is_the_one_preferred(web: Web, accept: str, kind: str) -> None:
    job = web.upload(("1.jpg", CHELSEA)).json["jobs"][0]

    assert web.get(job["url"], headers={"Accept": accept}).mimetype == kind


UNKNOWN = "019ab2c4-5d6e-7f80-8123-456789abcdef"
# A UUIDv7 of the year 10889.
BEYOND_TIME = "ffffffff-ffff-7fff-bfff-ffffffffffff"


@pytest.mark.parametrize(
    "path", [f"jobs/{UNKNOWN}-0001", f"batches/{UNKNOWN}", f"batches/{UNKNOWN}/events"]
)
def test_what_nobody_uploaded_is_not_found(web: Web, path: str) -> None:
    answer = web.get(f"/api/v1/{path}?wait=20")

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert UNKNOWN in answer.json["detail"]


def test_a_number_beyond_the_batch_is_not_found(web: Web) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]

    assert web.get(f"/api/v1/jobs/{batch}-0002").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "jobs/1",
        f"jobs/{UNKNOWN}",
        f"jobs/{UNKNOWN}-1",
        f"jobs/{UNKNOWN.upper()}-0001",
        "batches/1",
        "batches/%2e%2e",
        f"batches/{UNKNOWN.upper()}",
        f"batches/{{{UNKNOWN}}}",
        "batches/123e4567-e89b-42d3-a456-426614174000/events",
        f"batches/{BEYOND_TIME}",
        f"batches/{BEYOND_TIME}/events",
        f"batches/{BEYOND_TIME}/results.csv",
    ],
)
def test_what_is_no_id_is_said_to_be_none(web: Web, path: str) -> None:
    answer = web.get(f"/api/v1/{path}")

    assert (answer.status_code, answer.json["code"]) == (400, "bad_id")


def test_a_job_after_the_end_of_all_years_is_not_found(web: Web) -> None:
    answer = web.get(f"/api/v1/jobs/{BEYOND_TIME}-0001")

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_a_store_that_does_not_answer_is_a_problem(web: Web, world: World) -> None:
    job = web.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    world.store.outage.begin()

    for path in (job["url"], f"/api/v1/batches/{job['batch']}"):
        answer = web.get(path)
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"]
