"""Uploaded images, sent back."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from imagefleet_core.jobs import JobId, new_batch_id
from imagefleet_core.keys import input_key
from imagefleet_web.images import PIECE_BYTES
from web_tier import CHELSEA, Answer, Web, World


def image(web: Web, job: object, **options: Any) -> Answer:
    return web.get(f"/api/v1/jobs/{job}/image", **options)


def uploaded(web: Web, name: str, content: bytes) -> str:
    job: str = web.upload((name, content)).json["jobs"][0]["id"]
    return job


def encoded(kind: str) -> bytes:
    with io.BytesIO(CHELSEA) as body, Image.open(body) as photograph, io.BytesIO() as written:
        photograph.save(written, kind)
        return written.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_image_comes_back_as_it_was_uploaded(web: Web, kind: str) -> None:
    # given a picture whose name calls it something else
    content = encoded(kind)
    job = uploaded(web, "Kätzchen \u202e<1>.html", content)

    answer = image(web, job)

    assert answer.status_code == 200
    assert answer.data == content
    assert answer.content_length == len(content)
    assert answer.headers.getlist("Content-Type") == [f"image/{kind.lower()}"]
    assert answer.headers.getlist("Content-Disposition") == ["inline; filename=Katzchen-1-.html"]
    policy = answer.headers.getlist("Content-Security-Policy")
    assert policy == ["sandbox; default-src 'none'"]
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers["Cache-Control"] == "private, max-age=86400, immutable"


@pytest.mark.parametrize(
    "content",
    [b"<script>alert(1)</script>", b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"%PDF-1.7", b""],
)
def test_what_is_no_picture_is_never_shown(web: Web, world: World, content: bytes) -> None:
    job = JobId(new_batch_id(), 1)
    world.store.put_image(input_key(job, "a.svg"), content, "image/svg+xml")

    answer = image(web, job)

    assert (answer.status_code, answer.data) == (200, content)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename=a.svg"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_an_image_that_a_client_has_is_not_sent_again(web: Web) -> None:
    job = uploaded(web, "cat.jpg", CHELSEA)
    etag = image(web, job).headers["ETag"]

    same = image(web, job, headers={"If-None-Match": etag})
    other = image(web, job, headers={"If-None-Match": '"another"'})

    assert (same.status_code, same.data) == (304, b"")
    assert same.headers["ETag"] == etag
    assert same.headers["Cache-Control"] == "private, max-age=86400, immutable"
    assert (other.status_code, other.data) == (200, CHELSEA)


def test_an_image_is_read_while_it_is_sent(web: Web, world: World) -> None:
    # given an image of three pieces
    content = encoded("BMP") + bytes(2 * PIECE_BYTES)
    assert 2 * PIECE_BYTES < len(content) < 3 * PIECE_BYTES
    job = uploaded(web, "cat.bmp", content)

    answer = image(web, job, buffered=False)
    told = answer.iter_encoded()
    next(told)

    # then no more than one was read before the client took it
    world.store.outage.begin("read_image")
    with pytest.raises(ConnectionAbortedError):
        next(told)
    world.store.outage.end()
    pieces = list(image(web, job, buffered=False).iter_encoded())
    assert [len(piece) for piece in pieces[:-1]] == [PIECE_BYTES] * 2
    assert b"".join(pieces) == content


def test_an_image_that_is_replaced_meanwhile_is_cut_off(web: Web, world: World) -> None:
    job = uploaded(web, "cat.bmp", encoded("BMP") + bytes(PIECE_BYTES))
    told = image(web, job, buffered=False).iter_encoded()
    next(told)

    (key,) = world.store.images
    world.store.images[key] = bytes(3 * PIECE_BYTES)

    with pytest.raises(ConnectionAbortedError):
        next(told)


def test_where_there_is_no_image_that_is_said(web: Web, world: World) -> None:
    # given an image that was forgotten, and one that never was
    forgotten = uploaded(web, "cat.jpg", CHELSEA)
    world.store.images.clear()

    for job in (forgotten, JobId(new_batch_id(), 1)):
        answer = image(web, job)
        assert (answer.status_code, answer.json["code"]) == (404, "no_image")
        assert answer.headers["Cache-Control"] == "no-store"

    assert image(web, "1").json["code"] == "bad_id"
    world.store.outage.begin()
    assert image(web, forgotten).json["code"] == "unavailable"
