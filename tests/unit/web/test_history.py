"""Past batches: their list, newest first, and how they are deleted."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from imagefleet_core.jobs import JobId, Request, new_batch_id
from imagefleet_core.keys import input_key
from imagefleet_web.history import MOST_LOOKS
from web_tier import CHELSEA, COFFEE, Web, World, eventually

LIST = "/api/v1/batches"
NOW_MS = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 24 * 60 * 60 * 1000


def batch_at(milliseconds: int, chance: random.Random) -> str:
    """Return a batch id of a moment."""
    low = chance.getrandbits(62)
    return str(
        UUID(int=milliseconds << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | low)
    )


def put(world: World, batch: str) -> str:
    world.store.put_image(input_key(JobId(batch, 1), "cat.jpg"), CHELSEA, "image/jpeg")
    return batch


def read_all(web: Web, limit: int) -> list[str]:
    """Follow the cursors to the end."""
    told: list[str] = []
    query: dict[str, Any] = {"limit": limit}
    for _ in range(1000):
        page = web.get(LIST, query_string=query).json
        assert len(page["batches"]) <= limit
        told += [batch["batch"] for batch in page["batches"]]
        if page["cursor"] is None:
            return told
        query["cursor"] = page["cursor"]
    raise AssertionError("the list has no end")


def test_the_newest_batch_comes_first_with_its_counts(web: Web, world: World) -> None:
    older = web.upload(("1.jpg", CHELSEA), ("broken.jpg", COFFEE), ("3.jpg", CHELSEA)).json
    world.finish(world.take(3)[:2], reply=False)
    newer = web.upload(("4.jpg", CHELSEA)).json

    answer = web.get(LIST)

    assert answer.status_code == 200
    assert answer.json["cursor"] is None
    first, second = answer.json["batches"]
    assert first == {
        "batch": newer["batch"],
        "url": newer["url"],
        "submitted_at": newer["jobs"][0]["submitted_at"],
        "total": 1,
        "finished": 0,
        "pending": 1,
    }
    assert second["batch"] == older["batch"]
    assert [second[name] for name in ("total", "finished", "pending")] == [3, 2, 1]


def test_batches_of_the_inbox_and_those_without_images_are_listed(web: Web, world: World) -> None:
    batch = new_batch_id()
    world.store.put_image("inbox/photo.jpg", CHELSEA, "image/jpeg")
    world.finish([Request(JobId(batch, 1), "inbox/photo.jpg", "p.jpg", None, datetime.now(UTC))])

    (told,) = web.get(LIST).json["batches"]

    assert (told["batch"], told["total"], told["pending"]) == (batch, 1, 0)


def test_what_no_clock_can_have_made_is_no_batch(web: Web, world: World) -> None:
    put(world, "ffffffff-ffff-7fff-bfff-ffffffffffff")
    batch = put(world, new_batch_id())

    assert [told["batch"] for told in web.get(LIST).json["batches"]] == [batch]


def test_no_batch_yet_is_an_empty_list(web: Web) -> None:
    assert web.get(LIST).json == {"batches": [], "cursor": None}


@pytest.mark.parametrize("page", [5, 40, 1000])
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_cursors_lead_through_all_batches_once(
    web: Web, world: World, page: int, limit: int
) -> None:
    # given bursts, some in one millisecond, and long silences between them
    chance, moment = random.Random(1), NOW_MS
    batches = []
    for _ in range(12):
        burst = [
            batch_at(moment - chance.randrange(2), chance) for _ in range(chance.choice([1, 3]))
        ]
        batches += [put(world, batch) for batch in burst]
        moment -= chance.choice([5, 10_000, DAY_MS, 100 * DAY_MS])
    world.store.page = page

    assert read_all(web, limit) == sorted(batches, reverse=True)


def test_a_page_of_very_many_batches_takes_few_looks(world: World, web: Web) -> None:
    # given a batch each three minutes for ten days, months ago, and a store that lists 200 at once
    chance = random.Random(2)
    ids = sorted(batch_at(NOW_MS - i * 180_000, chance) for i in range(4800))
    for batch in ids:
        put(world, batch)
    world.store.page = 200
    looks = []
    listed = world.store.batches_from

    def counted(start: str) -> Any:
        looks.append(start)
        return listed(start)

    world.store.batches_from = counted  # type: ignore[method-assign]

    page = web.get(LIST, query_string={"limit": 20}).json

    assert [batch["batch"] for batch in page["batches"]] == ids[:-21:-1]
    assert len(looks) <= MOST_LOOKS

    # and the next ones fewer
    looks.clear()
    web.get(LIST, query_string={"limit": 20, "cursor": page["cursor"]})
    assert len(looks) <= 4


def test_what_is_uploaded_meanwhile_does_not_move_the_pages(web: Web, world: World) -> None:
    batches = [put(world, new_batch_id()) for _ in range(4)]
    first = web.get(LIST, query_string={"limit": 2}).json
    put(world, new_batch_id())

    second = web.get(LIST, query_string={"limit": 2, "cursor": first["cursor"]}).json

    told = [batch["batch"] for page in (first, second) for batch in page["batches"]]
    assert told == batches[::-1]
    assert second["cursor"] is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "bad_limit"),
        ({"limit": "101"}, "bad_limit"),
        ({"limit": "-1"}, "bad_limit"),
        ({"limit": "ten"}, "bad_limit"),
        ({"limit": "²"}, "bad_limit"),
        ({"limit": "9" * 5000}, "bad_limit"),
        ({"cursor": ""}, "bad_cursor"),
        ({"cursor": "x"}, "bad_cursor"),
        ({"cursor": "Kätzchen"}, "bad_cursor"),
        ({"cursor": "MDE5YWIyYzQtNWQ2ZS0="}, "bad_cursor"),
        ({"cursor": "Li4vLi4v"}, "bad_cursor"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(web: Web, query: dict[str, str], code: str) -> None:
    answer = web.get(LIST, query_string=query)

    assert (answer.status_code, answer.json["code"]) == (400, code)


def test_a_store_that_does_not_answer_is_a_problem(web: Web, world: World) -> None:
    put(world, new_batch_id())
    for call in ("batches_from", "list_results", "image_names"):
        world.store.outage.end()
        world.store.outage.begin(call)

        assert web.get(LIST).json["code"] == "unavailable"


def test_a_deleted_batch_is_gone_everywhere(web: Web, world: World) -> None:
    # given a batch that two processes know
    told = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE)).json
    batch, job = told["batch"], told["jobs"][0]["id"]
    world.finish(world.take(2))
    web.listen()
    other = Web(world)
    other.get(f"{LIST}/{batch}")

    answer = web.request("DELETE", f"{LIST}/{batch}")

    assert (answer.status_code, answer.data) == (204, b"")
    assert world.store.images == {}
    assert list(world.store.results) == [f"{batch}/deleted"]
    for process in (web, other):
        for path in (
            f"{LIST}/{batch}",
            f"{LIST}/{batch}/events",
            f"{LIST}/{batch}/results.csv",
            f"{LIST}/{batch}/results.jsonl",
            f"/api/v1/jobs/{job}",
        ):
            gone = process.get(path)
            assert (gone.status_code, gone.json["code"]) == (410, "deleted")
        assert process.get(f"/api/v1/jobs/{job}/image").status_code == 404
        assert process.get(LIST).json == {"batches": [], "cursor": None}


def test_deleting_twice_is_no_error_and_deleting_nothing_is(web: Web) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]

    assert web.request("DELETE", f"{LIST}/{batch}").status_code == 204
    assert web.request("DELETE", f"{LIST}/{batch}").status_code == 204

    unknown = web.request("DELETE", f"{LIST}/{new_batch_id()}")
    assert (unknown.status_code, unknown.json["code"]) == (404, "not_found")
    assert web.request("DELETE", f"{LIST}/1").json["code"] == "bad_id"


def test_what_a_worker_still_does_for_a_deleted_batch_is_not_told(web: Web, world: World) -> None:
    # given a batch that is deleted while a worker has one image and the queue the others
    told = web.upload(("1.jpg", CHELSEA), ("broken.jpg", COFFEE)).json
    batch = told["batch"]
    requests = world.take(2)
    web.request("DELETE", f"{LIST}/{batch}")

    # when the worker stores a label, and finds no image for the other
    world.finish(requests)
    web.listen()

    assert f"{batch}/0002.json" not in world.store.results
    for job in told["jobs"]:
        assert web.get(job["url"]).json["code"] == "deleted"
    assert web.get(LIST).json["batches"] == []
    # and what is left of the label goes when the batch is deleted again
    web.request("DELETE", f"{LIST}/{batch}")
    assert list(world.store.results) == [f"{batch}/deleted"]


def test_whoever_waits_for_a_deleted_batch_is_let_go(web: Web, world: World) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    waiting = web.meanwhile(lambda: web.get(f"{LIST}/{batch}?wait=300"))
    eventually(web.services.hub.wanted)

    # when another process deletes it
    Web(world).request("DELETE", f"{LIST}/{batch}")
    web.services.results.look(batch, [1])

    assert waiting.answer().json["pending"] == 1


def test_a_store_that_does_not_answer_leaves_a_batch_to_be_deleted_again(
    web: Web, world: World
) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    world.store.outage.begin("delete_batch", times=1)

    assert web.request("DELETE", f"{LIST}/{batch}").json["code"] == "unavailable"
    assert web.request("DELETE", f"{LIST}/{batch}").status_code == 204
