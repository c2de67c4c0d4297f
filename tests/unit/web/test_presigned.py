"""Images that clients upload to the bucket themselves, with forms of ours."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from imagefleet_core import keys
from imagefleet_core.errors import Unavailable
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import JobId, Request
from imagefleet_core.store import Form
from imagefleet_web.keys import make
from imagefleet_web.uploads.awaited import GRACE_S, Arrivals, Awaited
from web_tier import CHELSEA, COFFEE, Answer, Web, World

UPLOADS = "/api/v1/uploads"
ALICE, ALICE_LINE = make("alice")
BOB, BOB_LINE = make("bob")
BATCH = "0192f3c4-5d6e-7f80-8123-456789abcdef"
TWO = [{"name": "cat.jpg", "type": "image/jpeg"}, {"name": "mug.png"}]


def ask(web: Web, files: list[dict[str, Any]], **options: Any) -> Answer:
    """Ask for a form for each file."""
    answer = web.post(UPLOADS, json={"files": files}, **options)
    assert answer.status_code == 201, answer.text
    return answer


def send(world: World, upload: Any, image: bytes = CHELSEA) -> Request:
    """Upload with a form, and return the request that S3's event for it is."""
    form = Form(**upload["post"])
    assert world.store.post(form, image)
    return announced(form.fields["key"])


def announced(key: str) -> Request:
    """Return the request that S3's event for an upload is."""
    record = {"eventTime": "2026-01-31T12:00:00.000Z", "s3": {"object": {"key": key}}}
    (request,) = decode_requests(json.dumps({"Records": [record]}))
    return request


def expire(world: World, told: Any) -> None:
    """Let the forms of a batch have expired, before anybody looked at its note."""
    key = keys.awaited_key(told["batch"])
    noted = Awaited.decode(world.store.results[key])
    past = datetime.now(UTC) - timedelta(seconds=GRACE_S + 1)
    world.store.results[key] = Awaited(noted.names, past).encode()


def state(web: Web, told: Any) -> Any:
    return web.get(told["url"]).json


def test_forms_name_jobs_that_wait_for_their_images(web: Web) -> None:
    answer = ask(web, TWO)

    told = answer.json
    assert answer.headers["Location"] == told["url"] == f"/api/v1/batches/{told['batch']}"
    ids = [upload["id"] for upload in told["uploads"]]
    assert ids == [f"{told['batch']}-0001", f"{told['batch']}-0002"]
    for upload, kind in zip(told["uploads"], ("image/jpeg", "image/png"), strict=True):
        assert upload["post"]["fields"]["Content-Type"] == kind
        life = datetime.fromisoformat(upload["expires_at"]) - datetime.now(UTC)
        assert 890 < life.total_seconds() <= 900
    # each is told as any other job, and until when its image can be uploaded
    batch = state(web, told)
    assert (batch["total"], batch["pending"], batch["failed"]) == (2, 2, 0)
    assert [job["name"] for job in batch["jobs"]] == ["cat.jpg", "mug.png"]
    for job in (batch["jobs"][1], web.get(told["uploads"][1]["url"]).json):
        assert (job["id"], job["status"], job["name"]) == (ids[1], "pending", "mug.png")
        assert job["upload_expires_at"] == told["uploads"][1]["expires_at"]
    assert web.get("/api/v1/batches").json["batches"][0]["total"] == 2
    assert web.get(f"/api/v1/jobs/{told['batch']}-0003").status_code == 404


def test_an_image_that_was_uploaded_is_a_job_as_any_other(web: Web, world: World) -> None:
    told = ask(web, TWO).json

    request = send(world, told["uploads"][0])

    assert str(request.job) == told["uploads"][0]["id"]
    waiting, absent = state(web, told)["jobs"]
    assert (waiting["status"], waiting["upload_expires_at"]) == ("pending", None)
    assert absent["upload_expires_at"] is not None
    assert web.get(waiting["url"]).json == waiting
    image = web.get(f"{waiting['url']}/image")
    assert (image.status_code, image.data) == (200, CHELSEA)

    world.finish([request])
    assert keys.result_key(request.job) in world.store.results
    assert b"inbox/" not in world.store.results[keys.result_key(request.job)]

    finished = web.get(waiting["url"]).json
    assert (finished["status"], finished["label"]) == ("done", "cat.jpg 1")
    batch = state(web, told)
    assert (batch["total"], batch["done"], batch["pending"]) == (2, 1, 1)
    assert batch["jobs"] == [finished, absent]


def test_an_image_that_a_form_may_replace_is_asked_for_each_time(web: Web, world: World) -> None:
    (upload,) = ask(web, TWO[:1]).json["uploads"]
    send(world, upload)
    path = f"{upload['url']}/image"
    first = web.get(path)

    send(world, upload, COFFEE)
    known = {"If-None-Match": first.headers["ETag"]}
    later = web.get(path, headers=known)

    assert first.headers["Cache-Control"] == later.headers["Cache-Control"] == "private, no-cache"
    assert (later.status_code, later.data) == (200, COFFEE)
    known = {"If-None-Match": later.headers["ETag"]}
    assert web.get(path, headers=known).status_code == 304


def test_an_image_that_is_announced_twice_has_one_result(web: Web, world: World) -> None:
    told = ask(web, TWO[:1]).json
    request = send(world, told["uploads"][0])

    world.finish([request, announced(request.key)])

    batch = state(web, told)
    assert (batch["total"], batch["done"]) == (1, 1)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Käse 猫.jpg", "Käse 猫.jpg"),
        ("../../secrets/cat.jpg", "cat.jpg"),
        ("${filename}", "-filename-"),
        ("", "image"),
    ],
)
def test_no_name_leaves_the_batch(web: Web, world: World, name: str, kept: str) -> None:
    (upload,) = ask(web, [{"name": name, "type": "image/jpeg"}]).json["uploads"]

    request = send(world, upload)

    assert request.key == f"inbox/{request.job.batch}/0001-{kept}"
    assert upload["name"] == request.name == kept
    world.finish([request])
    assert web.get(upload["url"]).json["name"] == kept


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"files": [{}]}', b'{"other": 1}'])
def test_without_a_list_there_is_one_form(web: Web, body: bytes) -> None:
    answer = web.post(UPLOADS, data=body)

    (upload,) = answer.json["uploads"]
    assert upload["name"] == "image"
    assert upload["post"]["fields"]["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ({"name": "a.JPG"}, "image/jpeg"),
        ({"name": "a.jpeg"}, "image/jpeg"),
        ({"name": "a.tif"}, "image/tiff"),
        ({"name": "a.webp"}, "image/webp"),
        ({"name": "a.txt"}, "application/octet-stream"),
        ({"name": "a.png", "type": " Image/GIF "}, "image/gif"),
        ({"name": "a.png", "type": None}, "image/png"),
        ({"name": None, "type": "image/bmp"}, "image/bmp"),
    ],
)
def test_a_form_is_for_one_type(web: Web, file: dict[str, Any], kind: str) -> None:
    (upload,) = ask(web, [file]).json["uploads"]

    assert upload["post"]["fields"]["Content-Type"] == kind


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ({"data": b"{"}, "bad_files", "is no JSON"),
        ({"data": b"[" * 100_000}, "bad_files", "is no JSON"),
        ({"data": b"\xff"}, "bad_files", "is no JSON"),
        ({"json": []}, "bad_files", "lists no files"),
        ({"json": {"files": []}}, "bad_files", "lists no files"),
        ({"json": {"files": {"name": "a"}}}, "bad_files", "lists no files"),
        ({"json": {"files": [{}, "a.jpg"]}}, "bad_files", r"files\[1\] is no JSON object"),
        ({"json": {"files": [{"name": 1}]}}, "bad_files", r"files\[0\]: its name is no text"),
        ({"json": {"files": [{"type": ["image/png"]}]}}, "bad_files", "its type is no text"),
        ({"json": {"files": [{"type": "text/html"}]}}, "unsupported_format", "'text/html'"),
        ({"json": {"files": [{}] * 101}}, "too_many_files", "At most 100 files"),
        ({"data": b" " * (4 * 1024 * 1024 + 1)}, "request_too_large", "At most 4,194,304 bytes"),
        ({"data": b"x", "content_type": "image/jpeg"}, "bad_files", "/api/v1/upload"),
        (
            {"data": b"x", "content_type": "multipart/form-data; boundary=b"},
            "bad_files",
            "/api/v1/upload",
        ),
    ],
)
def test_what_is_no_list_of_files_is_refused_with_a_reason(
    web: Web, world: World, options: dict[str, Any], code: str, reason: str
) -> None:
    answer = web.post(UPLOADS, **options)

    assert answer.json["code"] == code
    assert answer.status_code == answer.json["status"] < 500
    assert_matches(reason, answer.json["detail"])
    assert world.store.results == {}


def assert_matches(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


@pytest.fixture
def guarded(world: World, tmp_path: Path) -> Iterator[Web]:
    """A web process that knows two keys."""
    path = tmp_path / "keys.txt"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n")
    web = Web(world, api_keys_file=str(path), max_images_per_minute=6)
    yield web
    web.services.close()


def test_a_form_is_for_its_owners_batch(guarded: Web, world: World) -> None:
    alice, bob = ({"X-Api-Key": key} for key in (ALICE, BOB))
    assert guarded.post(UPLOADS).status_code == 401

    told = ask(guarded, TWO, headers=alice).json
    world.finish([send(world, told["uploads"][0])])

    job = told["uploads"][0]["url"]
    assert guarded.get(job, headers=alice).json["status"] == "done"
    for path in (told["url"], job, f"{job}/image", told["uploads"][1]["url"]):
        assert guarded.get(path, headers=bob).status_code == 404
    assert guarded.get("/api/v1/batches", headers=bob).json["batches"] == []
    listed = guarded.get("/api/v1/batches", headers=alice).json["batches"]
    assert [(each["total"], each["finished"]) for each in listed] == [(2, 1)]


def test_a_form_costs_what_an_image_does(guarded: Web) -> None:
    headers = {"X-Api-Key": ALICE}
    ask(guarded, [{}] * 6, headers=headers)

    answer = guarded.post(UPLOADS, headers=headers)

    assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) >= 1


def test_no_form_is_given_out_while_too_much_waits(world: World) -> None:
    web = Web(world, max_backlog=1)
    world.requests.send(["1", "2"])
    while web.services.backlog.images() is None:
        pass

    assert web.post(UPLOADS).json["code"] == "overloaded"
    web.services.close()


@pytest.mark.parametrize("call", ["upload_form", "write_note"])
def test_no_form_is_given_out_where_the_store_fails(web: Web, world: World, call: str) -> None:
    world.store.outage.begin(call)

    answer = web.post(UPLOADS)

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert world.store.results == {}


def test_a_form_names_the_address_that_clients_are_told(world: World) -> None:
    web = Web(world, public_s3_url="https://pictures.example:9000")

    (upload,) = ask(web, [{}]).json["uploads"]

    assert upload["post"]["url"] == "https://pictures.example:9000/"
    web.services.close()


def test_an_image_that_never_came_is_told_as_failed(web: Web, world: World) -> None:
    # given forms that expired, one of them used
    told = ask(web, TWO).json
    world.finish([send(world, told["uploads"][0])])
    expire(world, told)
    stored = set(world.store.results)

    batch = state(web, told)

    assert (batch["done"], batch["failed"], batch["pending"]) == (1, 1, 0)
    lost = batch["jobs"][1]
    assert (lost["status"], lost["error"]["code"]) == ("failed", "not_uploaded")
    assert [lost[name] for name in ("worker", "model", "upload_expires_at")] == [None] * 3
    assert web.get(lost["url"]).json == lost
    assert web.get(lost["url"], query_string={"wait": 5}).json == lost
    table = csv.DictReader(io.StringIO(web.get(f"{told['url']}/results.csv").text))
    assert [row["error_code"] for row in table] == ["", "not_uploaded"]
    (listed,) = web.get("/api/v1/batches").json["batches"]
    assert (listed["total"], listed["finished"], listed["pending"]) == (2, 2, 0)
    assert "event: end" in web.get(f"{told['url']}/events").text
    # and nothing was written of it
    assert set(world.store.results) == stored


def test_an_image_that_came_late_after_all_counts(web: Web, world: World) -> None:
    told = ask(web, TWO[:1]).json
    expire(world, told)
    assert state(web, told)["failed"] == 1

    request = send(world, told["uploads"][0])

    assert state(web, told)["pending"] == 1
    world.finish([request])
    assert state(web, told)["done"] == 1


def test_who_waits_is_told_of_the_images_that_never_came(web: Web, world: World) -> None:
    told = ask(web, [*TWO, {}]).json
    send(world, told["uploads"][0])
    world.finish([send(world, told["uploads"][1], COFFEE)])
    expire(world, told)

    with web.services.hub.watch(told["batch"], [1, 2, 3]) as watch:
        assert web.services.results.look(told["batch"], {1, 2, 3})
        results = {result.job.number: result for result in watch.arrivals(deadline=0)}

    assert results[2].label == "mug.png 1"
    assert results[3].error
    assert results[3].error.code == "not_uploaded"
    assert results.keys() == {2, 3}
    # a look that finds nothing new says so
    assert not web.services.results.look(told["batch"], {1})


def test_nobody_is_given_up_before_time(world: World) -> None:
    now = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    awaited = Awaited({1: "cat.jpg", 2: "mug.png"}, now + timedelta(seconds=60))
    world.store.write_note(keys.awaited_key(BATCH), awaited.encode())
    moment = [now.timestamp()]
    arrivals = Arrivals(world.store, clock=lambda: moment[0])

    moment[0] += 60 + GRACE_S
    assert arrivals.lost(BATCH, {1, 2}) == []
    expected = arrivals.expected(BATCH, {1})
    moment[0] += 0.1
    lost = arrivals.lost(BATCH, {1, 3})
    later = arrivals.expected(BATCH, {1})

    assert [result.job for result in lost] == [JobId(BATCH, 1)]
    assert expected
    assert later
    assert (expected.absent, expected.over) == (frozenset({2}), False)
    assert (later.absent, later.over) == (frozenset({2}), True)


def test_deleting_a_batch_takes_everything_along(web: Web, world: World) -> None:
    # given a batch of which one image is there, one is finished and one is awaited
    told = ask(web, [*TWO, {}]).json
    request = send(world, told["uploads"][0])
    world.finish([send(world, told["uploads"][1])])

    assert web.request("DELETE", told["url"]).status_code == 204

    assert world.store.images == {}
    assert set(world.store.results) == {keys.deletion_key(told["batch"])}
    paths = [told["url"], *(upload["url"] for upload in told["uploads"])]
    assert {web.get(path).status_code for path in paths} == {410}
    # and an image that is uploaded all the same is not told of
    world.finish([request])
    assert web.get(told["uploads"][0]["url"]).status_code == 410


def test_a_note_that_cannot_be_read_hides_nothing_else(web: Web, world: World) -> None:
    told = ask(web, TWO).json
    world.finish([send(world, told["uploads"][0])])
    world.store.results[keys.awaited_key(told["batch"])] = b'{"v": 2}'

    batch = state(web, told)

    assert (batch["total"], batch["done"]) == (1, 1)
    assert web.get(told["uploads"][1]["url"]).status_code == 404


def test_other_batches_cost_no_further_call(web: Web, world: World) -> None:
    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE)).json
    job = f"/api/v1/jobs/{told['batch']}-0001"
    for call in ("inbox_numbers", "read_note"):
        world.store.outage.begin(call)

    assert state(web, {"url": f"/api/v1/batches/{told['batch']}"})["pending"] == 2
    assert web.get(job).json["status"] == "pending"
    assert web.get("/api/v1/batches").json["batches"][0]["total"] == 2
    assert not web.services.results.look(told["batch"], {1, 2})


KEY = {"Idempotency-Key": "a key"}


def test_forms_that_are_asked_for_again_are_of_the_same_batch(web: Web, world: World) -> None:
    first = ask(web, TWO, headers=KEY)
    assert "Idempotent-Replayed" not in first.headers

    # when another process is asked the same
    other = Web(world)
    again = ask(other, TWO, headers=KEY)
    other.services.close()

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json["batch"] == first.json["batch"]
    for one, two in zip(first.json["uploads"], again.json["uploads"], strict=True):
        same = ("id", "url", "name", "expires_at")
        assert [one[each] for each in same] == [two[each] for each in same]
        assert one["post"]["fields"]["key"] == two["post"]["fields"]["key"]
        # and the form lives no longer than the first, of which the batch tells
        life = float(two["post"]["fields"]["until"]), float(one["post"]["fields"]["until"])
        assert life[1] - 60 < life[0] <= life[1] + 5
    world.finish([send(world, again.json["uploads"][0])])
    assert state(web, first.json)["done"] == 1
    assert len(web.get("/api/v1/batches").json["batches"]) == 1


def test_forms_that_are_asked_for_again_are_expired_when_the_first_are(
    web: Web, world: World
) -> None:
    told = ask(web, TWO, headers=KEY).json
    expire(world, told)

    again = ask(web, TWO, headers=KEY).json

    assert again["batch"] == told["batch"]
    for upload in again["uploads"]:
        assert datetime.fromisoformat(upload["expires_at"]) < datetime.now(UTC)
        assert not world.store.post(Form(**upload["post"]), CHELSEA)


@pytest.mark.parametrize(
    "files", [TWO[:1], [TWO[1], TWO[0]], [{**TWO[0], "type": "image/png"}, TWO[1]]]
)
def test_a_key_is_for_the_same_list(web: Web, files: list[dict[str, Any]]) -> None:
    ask(web, TWO, headers=KEY)

    answer = web.post(UPLOADS, json={"files": files}, headers=KEY)

    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_a_key_is_for_forms_or_for_images(web: Web) -> None:
    ask(web, TWO[:1], headers=KEY)

    answer = web.upload(("cat.jpg", CHELSEA), headers=KEY)

    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_a_key_that_is_none_is_refused(web: Web, world: World) -> None:
    answer = web.post(UPLOADS, headers={"Idempotency-Key": "x" * 256})

    assert (answer.status_code, answer.json["code"]) == (400, "bad_idempotency_key")
    assert world.store.results == {}


def test_forms_of_a_deleted_batch_are_not_given_out_again(web: Web) -> None:
    told = ask(web, TWO, headers=KEY).json
    assert web.request("DELETE", told["url"]).status_code == 204

    answer = web.post(UPLOADS, json={"files": TWO}, headers=KEY)

    assert (answer.status_code, answer.json["code"]) == (410, "deleted")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_key_is_free_again_where_the_store_fails(
    web: Web, world: World, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim, the note of what is awaited, and that the batch is offered are written."""
    write, calls = world.store.write_note, iter(range(1, 100))

    def fail(*args: Any) -> Any:
        if next(calls) == number:
            world.store.outage.begin("write_note", 1)
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "write_note", fail)
        failed = web.post(UPLOADS, json={"files": TWO}, headers=KEY)

    assert (failed.status_code, failed.json["code"]) == (503, "unavailable")
    told = ask(web, TWO, headers=KEY).json
    assert [each["batch"] for each in web.get("/api/v1/batches").json["batches"]] == [told["batch"]]
    assert state(web, told)["pending"] == 2


def test_forms_whose_offer_was_noted_are_kept_though_the_answer_was_lost(
    web: Web, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that carries out the last write, and does not say so
    write, calls = world.store.write_note, iter(range(1, 100))

    def lose(*args: Any) -> Any:
        version, is_last = write(*args), next(calls) == 3
        if is_last:
            raise Unavailable("S3 does not answer")
        return version

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "write_note", lose)
        failed = web.post(UPLOADS, json={"files": TWO}, headers=KEY)
    assert (failed.status_code, failed.json["code"]) == (503, "unavailable")

    # then who may have asked again meanwhile keeps what was answered
    again = ask(web, TWO, headers=KEY)

    assert again.headers["Idempotent-Replayed"] == "true"
    assert state(web, again.json)["pending"] == 2


def test_forms_that_are_asked_for_again_cost_nothing_of_a_quota(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n")
    web = Web(world, api_keys_file=str(path), max_images_per_day=100)
    alice = {"X-Api-Key": ALICE}

    for _ in range(3):
        ask(web, TWO, headers=alice | KEY)

    assert web.get("/api/v1/usage", headers=alice).json["images_per_day"]["used"] == 2
    # and another's key is another one
    theirs = ask(web, TWO, headers={"X-Api-Key": BOB} | KEY)
    assert "Idempotent-Replayed" not in theirs.headers
    web.services.close()
