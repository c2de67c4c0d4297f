"""Images that came to the bucket's inbox without a form: shown and deleted, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from imagefleet_core import keys
from imagefleet_core.inbox import ANNOUNCED_WITHIN_S
from imagefleet_core.jobs import JobId, Request, ids_made_at, new_batch_id
from web_tier import CHELSEA, COFFEE, Answer, Web, World, result_of

KEY = "inbox/trip/my photo.jpg"


def dropped(world: World, key: str = KEY, *, told: str | None = KEY) -> JobId:
    """Put an image into the inbox and have a worker finish it; return its job.

    Args:
        told: the key that the result has.
    """
    world.store.put_image(key, CHELSEA, "image/jpeg")
    request = Request(JobId(new_batch_id(), 1), key, "my photo.jpg", None, datetime.now(UTC))
    world.store.put_result(replace(result_of(request), key=told))
    return request.job


def image(web: Web, job: JobId) -> Answer:
    return web.get(f"/api/v1/jobs/{job}/image")


def delete(web: Web, job: JobId) -> Answer:
    return web.request("DELETE", f"/api/v1/batches/{job.batch}")


def test_it_is_sent_back_as_it_came(web: Web, world: World) -> None:
    answer = image(web, dropped(world))

    assert (answer.status_code, answer.data) == (200, CHELSEA)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Disposition"] == 'inline; filename="my photo.jpg"'
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_it_goes_with_its_batch(web: Web, world: World) -> None:
    job, other = dropped(world), dropped(world, "inbox/other.jpg", told="inbox/other.jpg")

    assert delete(web, job).status_code == 204

    assert set(world.store.images) == {"inbox/other.jpg"}
    assert keys.result_key(job) not in world.store.results
    assert image(web, job).status_code == 404
    assert image(web, other).status_code == 200
    assert delete(web, job).status_code == 204


def test_what_took_its_place_since_is_anothers(web: Web, world: World) -> None:
    job = dropped(world)
    long_ago = int(datetime.now(UTC).timestamp() - ANNOUNCED_WITHIN_S - 600) * 1000
    older = JobId(ids_made_at(long_ago) + new_batch_id()[14:], 1)
    world.store.put_result(replace(result_of(request(older)), key=KEY))

    assert image(web, older).json["code"] == "no_image"
    assert delete(web, older).status_code == 204
    assert image(web, job).data == CHELSEA


def request(job: JobId) -> Request:
    return Request(job, KEY, "my photo.jpg", None, datetime.now(UTC))


def test_there_is_none_where_the_result_tells_no_key(web: Web, world: World) -> None:
    job = dropped(world, told=None)

    assert image(web, job).json["code"] == "no_image"
    assert delete(web, job).status_code == 204
    assert set(world.store.images) == {KEY}


FORGED = {
    "an upload of another batch": "{batch}/0001-cat.jpg",
    "a form's image of another batch": "inbox/{batch}/0002-mug.jpg",
    "an upload by way of the inbox": "inbox/../{batch}/0001-cat.jpg",
    "a place beside the inbox": "inboxes/cat.jpg",
    "everything in the inbox": "inbox/trip/",
    "no key at all": "",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_result_shows_and_deletes_nothing_of_others(
    web: Web, world: World, forged: str
) -> None:
    victim = new_batch_id()
    images = [
        keys.input_key(JobId(victim, 1), "cat.jpg"),
        keys.inbox_key(JobId(victim, 2), "mug.jpg"),
        f"inbox/../{victim}/0001-cat.jpg",  # as S3 has it: a key of its own
        "inboxes/cat.jpg",
        KEY,
    ]
    for each in images:
        world.store.put_image(each, COFFEE, "image/jpeg")
    job = JobId(new_batch_id(), 1)
    world.store.put_result(replace(result_of(request(job)), key=forged.format(batch=victim)))

    assert image(web, job).json["code"] == "no_image"
    assert delete(web, job).status_code == 204

    assert set(world.store.images) == set(images)


def test_a_result_that_cannot_be_read_hinders_no_deletion(web: Web, world: World) -> None:
    job = dropped(world)
    world.store.results[keys.result_key(job)] = b"{"

    assert image(web, job).json["code"] == "no_image"
    assert delete(web, job).status_code == 204
