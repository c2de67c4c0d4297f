from __future__ import annotations

import io
import json

import pytest

from web_tier import CHELSEA, COFFEE, MEASURED, Web, World


@pytest.mark.parametrize("field", ["file", "myfile", "x"])
def test_one_image_is_answered_with_its_label_alone(web: Web, world: World, field: str) -> None:
    asked = web.meanwhile(lambda: web.post("/", data={field: (io.BytesIO(CHELSEA), "cat.jpg")}))
    world.finish(world.take(1))
    web.listen()

    answer = asked.answer()
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text == "cat.jpg 1\n"


def test_load_generators_get_the_files_stem_before_the_label(web: Web, world: World) -> None:
    data = {"inputFile": (io.BytesIO(CHELSEA), "test_00.JPEG")}
    asked = web.meanwhile(lambda: web.post("/", data=data))
    world.finish(world.take(1))
    web.listen()

    assert asked.answer().text == "test_00:test_00.JPEG 1\n"


def test_an_output_is_a_line_of_json(web: Web, world: World) -> None:
    data = {"inputFile": (io.BytesIO(CHELSEA), "measured.jpg")}
    asked = web.meanwhile(lambda: web.post("/", data=data))
    world.finish(world.take(1))
    web.listen()

    stem, _, output = asked.answer().text.partition(":")
    assert (stem, json.loads(output)) == ("measured", MEASURED)
    assert (output.count("\n"), " " in output, "Käse" in output) == (1, False, True)


def test_an_image_that_fails_is_answered_with_the_reason(web: Web, world: World) -> None:
    asked = web.meanwhile(lambda: web.upload(("broken.jpg", CHELSEA), path="/"))
    world.finish(world.take(1))
    web.listen()

    answer = asked.answer()
    assert answer.status_code == 422
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text == "The image ends too early.\n"


def test_an_image_that_is_not_finished_in_time_is_kept(web: Web, world: World) -> None:
    answer = web.upload(("cat.jpg", CHELSEA), path="/?wait=0.01")

    # then the answer says where its answer will be
    assert answer.status_code == 504
    assert "The image is kept" in answer.text
    (request,) = world.queued()
    assert f"http://localhost/api/v1/jobs/{request.job}" in answer.text

    # and it is there
    world.finish(world.take(1))
    assert web.get(f"/api/v1/jobs/{request.job}").json["label"] == "cat.jpg 1"


def test_only_one_image_is_answered_at_a_time(web: Web, world: World) -> None:
    answer = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE), path="/")

    assert answer.status_code == 413
    assert "One image at a time" in answer.text
    assert "/api/v1/upload" in answer.text
    assert world.store.images == {}


def test_every_error_is_a_sentence(web: Web, world: World) -> None:
    answers = [
        web.upload(("cat.jpg", b"text"), path="/"),
        web.post("/", data={}),
        web.post("/?wait=soon"),
        web.post("/", data=b"x", content_type="text/html"),
    ]

    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.text.endswith(".\n")


def test_a_store_that_fails_is_a_sentence_and_a_time_to_come_again(web: Web, world: World) -> None:
    world.store.outage.begin()

    answer = web.upload(("cat.jpg", CHELSEA), path="/")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "Try again" in answer.text
