from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagefleet_core.jobs import JobId
from imagefleet_web.uploads.spool import IN_MEMORY_BYTES
from web_tier import CHELSEA, COFFEE, REQUESTS, Web, World, form


def picture(name: str, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, name)
    return buffer.getvalue()


def codes(jobs: list[dict[str, Any]]) -> list[str | None]:
    return [job["error"] and job["error"]["code"] for job in jobs]


def test_an_uploaded_image_is_stored_and_queued(web: Web, world: World) -> None:
    answer = web.upload(("my cat.jpg", CHELSEA))

    # then the answer names a batch and its only job
    assert answer.status_code == 202
    batch, (job,) = answer.json["batch"], answer.json["jobs"]
    assert answer.json["url"] == answer.headers["Location"] == f"/api/v1/batches/{batch}"
    assert job["id"] == f"{batch}-0001"
    assert job["url"] == f"/api/v1/jobs/{batch}-0001"
    assert (job["name"], job["status"], job["label"]) == ("my cat.jpg", "pending", None)

    # and the image is stored as it was, and queued with where to reply
    assert world.store.images == {f"{batch}/0001-my-cat.jpg": CHELSEA}
    (request,) = world.queued()
    assert (str(request.job), request.name) == (job["id"], "my cat.jpg")
    assert request.key in world.store.images
    assert request.reply_to == web.services.replies.name


def test_files_are_numbered_in_the_order_sent_whatever_their_fields(web: Web, world: World) -> None:
    names = [f"{i}.jpg" for i in range(12)]
    body, content_type = form(
        [("myfile" if i % 2 else f"field{i % 3}", name, CHELSEA) for i, name in enumerate(names)]
    )

    answer = web.post("/api/v1/upload", data=body, content_type=content_type)

    assert [job["name"] for job in answer.json["jobs"]] == names
    assert [request.name for request in world.queued()] == names
    assert [request.job.number for request in world.queued()] == list(range(1, 13))


@pytest.mark.parametrize("content_type", ["image/jpeg", "application/octet-stream", None])
def test_a_body_that_is_an_image_is_one_file(
    web: Web, world: World, content_type: str | None
) -> None:
    answer = web.post("/api/v1/upload", data=CHELSEA, content_type=content_type)

    assert answer.status_code == 202
    assert list(world.store.images.values()) == [CHELSEA]


def test_a_raw_body_may_say_its_name(web: Web, world: World) -> None:
    headers = {"Content-Disposition": 'attachment; filename="cat.jpg"'}

    answer = web.post("/api/v1/upload", data=CHELSEA, content_type="image/jpeg", headers=headers)

    assert answer.json["jobs"][0]["name"] == "cat.jpg"


def test_a_body_without_a_length_is_read_to_its_end(web: Web, world: World) -> None:
    answer = web.post(
        "/api/v1/upload",
        input_stream=io.BytesIO(CHELSEA),
        content_type="image/jpeg",
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert answer.status_code == 202
    assert list(world.store.images.values()) == [CHELSEA]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "MPO"])
def test_every_format_is_known_by_its_bytes_and_not_by_its_name(
    web: Web, world: World, name: str
) -> None:
    answer = web.upload(("notes.txt", picture(name)))

    assert answer.status_code == 202, answer.text
    assert len(world.queued()) == 1


REFUSALS = {
    "an empty file": (b"", "empty_file", 422),
    "a text": (b"hello, world", "unsupported_format", 415),
    "a PDF that is called an image": (b"%PDF-1.7\n" + bytes(100), "unsupported_format", 415),
    "too many pixels": (picture("PNG", (3000, 2000)), "too_many_pixels", 413),
    "too many pixels as WebP": (picture("WebP", (3000, 2000)), "too_many_pixels", 413),
    "too many bytes": (CHELSEA + bytes(200_000), "file_too_large", 413),
    "nothing behind the first bytes": (b"\xff\xd8\xff\xe0", "broken_image", 422),
}


@pytest.fixture
def strict(world: World) -> Web:
    """A web process with low limits."""
    return Web(
        world, max_files=5, max_file_bytes=200_000, max_request_bytes=900_000, max_pixels=5_000_000
    )


@pytest.mark.parametrize(("content", "code", "status"), REFUSALS.values(), ids=REFUSALS)
def test_a_file_that_is_refused_alone_is_a_problem(
    strict: Web, world: World, content: bytes, code: str, status: int
) -> None:
    answer = strict.upload(("cat.jpg", content))

    assert answer.status_code == answer.json["status"] == status
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == code
    assert "cat.jpg" in answer.json["detail"]
    assert codes(answer.json["jobs"]) == [code]
    assert world.store.images == {}
    assert world.queued() == []


@pytest.mark.parametrize(("content", "code", "status"), REFUSALS.values(), ids=REFUSALS)
def test_the_other_files_of_a_request_go_on_when_one_is_refused(
    strict: Web, world: World, content: bytes, code: str, status: int
) -> None:
    answer = strict.upload(("1.jpg", CHELSEA), ("bad.jpg", content), ("2.jpg", COFFEE))

    # then the jobs stand in the order of the files, and only accepted ones have a number
    assert answer.status_code == 202
    jobs = answer.json["jobs"]
    assert [job["name"] for job in jobs] == ["1.jpg", "bad.jpg", "2.jpg"]
    assert [job["status"] for job in jobs] == ["pending", "rejected", "pending"]
    assert codes(jobs) == [None, code, None]
    assert [job["id"] and JobId.parse(job["id"]).number for job in jobs] == [1, None, 2]
    assert [request.name for request in world.queued()] == ["1.jpg", "2.jpg"]
    assert [image for _, image in sorted(world.store.images.items())] == [CHELSEA, COFFEE]


def test_files_that_are_all_refused_for_different_reasons_are_one_problem(strict: Web) -> None:
    answer = strict.upload(("a.jpg", b""), ("b.jpg", b"text"), ("c.jpg", b""), ("d.jpg", b""))

    assert (answer.status_code, answer.json["code"]) == (422, "all_refused")
    assert codes(answer.json["jobs"]) == ["empty_file", "unsupported_format"] + ["empty_file"] * 2
    assert "a.jpg: The file is empty." in answer.json["detail"]
    assert "1 more" in answer.json["detail"]


def test_a_truncated_image_is_accepted_for_a_worker_to_judge(web: Web, world: World) -> None:
    answer = web.upload(("half.jpg", CHELSEA[: len(CHELSEA) // 2]))

    assert answer.status_code == 202
    assert len(world.queued()) == 1


def test_too_many_files_are_refused_together(strict: Web, world: World) -> None:
    answer = strict.upload(*[(f"{i}.jpg", CHELSEA) for i in range(6)])

    assert (answer.status_code, answer.json["code"]) == (413, "too_many_files")
    assert "At most 5 files" in answer.json["detail"]
    assert world.store.images == {}


@pytest.mark.parametrize("told", [True, False], ids=["with a length", "without one"])
def test_a_request_that_is_too_large_is_refused(strict: Web, world: World, told: bool) -> None:
    body, content_type = form([("file", f"{i}.jpg", bytes(199_000)) for i in range(5)])
    options: dict[str, Any] = (
        {"data": body}
        if told
        else {
            "input_stream": io.BytesIO(body),
            "environ_overrides": {"wsgi.input_terminated": True},
        }
    )

    answer = strict.post("/api/v1/upload", content_type=content_type, **options)

    assert (answer.status_code, answer.json["code"]) == (413, "request_too_large")
    assert "900,000 bytes" in answer.json["detail"]


BROKEN = {
    "cut off": (form([("file", "cat.jpg", CHELSEA)])[0][:-9], "multipart/form-data; boundary=b"),
    "no boundary named": (form([("file", "cat.jpg", CHELSEA)])[0], "multipart/form-data"),
    "another boundary": (b"--x--\r\n", "multipart/form-data; boundary=b"),
    "a part without headers": (b"--b\r\n\r\ncat\r\n--b--\r\n", "multipart/form-data; boundary=b"),
}


@pytest.mark.parametrize(("body", "content_type"), BROKEN.values(), ids=BROKEN)
def test_a_broken_form_is_a_problem(web: Web, world: World, body: bytes, content_type: str) -> None:
    answer = web.post("/api/v1/upload", data=body, content_type=content_type)

    assert (answer.status_code, answer.json["code"]) == (400, "broken_upload")
    assert world.store.images == {}


def test_a_form_without_files_says_how_to_send_one(web: Web) -> None:
    answer = web.post(
        "/api/v1/upload", data={"file": "@cat.jpg"}, content_type="multipart/form-data"
    )

    assert (answer.status_code, answer.json["code"]) == (400, "no_files")
    assert "curl -F file=@cat.jpg" in answer.json["detail"]


def test_a_request_without_a_body_has_no_files(web: Web) -> None:
    assert web.post("/api/v1/upload").json["code"] == "no_files"


def test_a_chooser_without_a_choice_is_no_file(web: Web, world: World) -> None:
    body, content_type = form([("a", "", b""), ("b", "cat.jpg", CHELSEA)])

    answer = web.post("/api/v1/upload", data=body, content_type=content_type)

    assert [job["name"] for job in answer.json["jobs"]] == ["cat.jpg"]


def test_text_fields_beside_the_files_are_ignored(web: Web, world: World) -> None:
    data = {"comment": "hello", "file": (io.BytesIO(CHELSEA), "cat.jpg")}

    assert len(web.post("/api/v1/upload", data=data).json["jobs"]) == 1


def test_another_kind_of_body_is_refused_with_what_would_be_right(web: Web) -> None:
    answer = web.post(
        "/api/v1/upload", data=CHELSEA, content_type="application/x-www-form-urlencoded"
    )

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_body")
    assert "curl -F file=@cat.jpg" in answer.json["detail"]


@pytest.mark.parametrize("times", [1, 3])
def test_nothing_is_left_of_an_upload_that_the_store_fails_amid(
    web: Web, world: World, times: int
) -> None:
    # given a store that takes some images and then fails
    original, puts = world.store.put_image, iter(range(100))

    def put_image(*args: Any) -> None:
        if next(puts) in range(2, 2 + times):
            world.store.outage.begin("put_image", 1)
        original(*args)

    world.store.put_image = put_image  # type: ignore[assignment,method-assign]

    answer = web.upload(*[(f"{i}.jpg", CHELSEA) for i in range(8)])

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "none of the images was accepted" in answer.json["detail"]
    assert world.store.images == {}
    assert world.queued() == []


def test_nothing_is_left_of_an_upload_that_cannot_be_queued(web: Web, world: World) -> None:
    world.requests.outage.begin("send")

    answer = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE))

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert world.store.images == {}


def test_a_full_disk_is_a_service_that_is_not_available(
    web: Web, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)

    answer = web.upload(("1.jpg", CHELSEA + bytes(1_000_000)))

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert world.store.images == {}


def test_a_missing_requests_queue_is_a_service_that_is_not_available(
    web: Web, world: World
) -> None:
    world.queues.remove(REQUESTS)

    answer = web.upload(("1.jpg", CHELSEA))

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert world.store.images == {}


def test_a_store_that_cannot_even_forget_is_answered_for_too(web: Web, world: World) -> None:
    world.requests.outage.begin("send")
    world.store.outage.begin("delete_batch")

    answer = web.upload(("1.jpg", CHELSEA))

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")


def test_an_upload_after_an_outage_is_accepted(web: Web, world: World) -> None:
    world.store.outage.begin("put_image", 1)
    assert web.upload(("1.jpg", CHELSEA)).status_code == 503

    assert web.upload(("1.jpg", CHELSEA)).status_code == 202
    assert len(world.queued()) == len(world.store.images) == 1


def test_a_disk_without_room_refuses_large_uploads_alone_and_only_while_it_has_none(
    world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    web = Web(world, spool_dir=str(folder))
    large = ("large.jpg", CHELSEA + bytes(IN_MEMORY_BYTES))

    refused, small = web.upload(large), web.upload(("small.jpg", CHELSEA))
    folder.mkdir()
    accepted = web.upload(large)

    assert (refused.status_code, refused.json["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert (small.status_code, accepted.status_code) == (202, 202)
