"""Requests that wait: uploads, jobs and batches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from web_tier import CHELSEA, COFFEE, Web, World, eventually

LONG = {"wait": "20"}


def test_an_upload_that_waits_is_answered_with_its_results(web: Web, world: World) -> None:
    # given an upload that waits
    asked = web.meanwhile(
        lambda: web.upload(("1.jpg", CHELSEA), ("broken.jpg", COFFEE), query_string=LONG)
    )

    # when a worker has both results
    world.finish(world.take(2))
    web.listen()

    answer = asked.answer()
    assert answer.status_code == 200
    done, failed = answer.json["jobs"]
    assert (done["status"], done["label"], done["score"]) == ("done", "1.jpg 1", 0.9)
    assert [each["label"] for each in done["top"]] == [f"1.jpg {i}" for i in range(1, 6)]
    assert done["model"] == "played@1"
    assert done["submitted_at"] <= done["started_at"] <= done["finished_at"]
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "truncated", "message": "The image ends too early."}
    assert failed["label"] is None


def test_an_upload_that_is_not_finished_in_time_is_answered_with_what_is_there(
    web: Web, world: World
) -> None:
    batch = web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE)).json["batch"]
    world.finish(world.take(2)[1:])
    web.listen()

    answer = web.get(f"/api/v1/batches/{batch}?wait=0.01")

    assert answer.status_code == 200
    assert [job["status"] for job in answer.json["jobs"]] == ["pending", "done"]
    assert (answer.json["total"], answer.json["pending"], answer.json["done"]) == (2, 1, 1)


def test_an_upload_whose_time_is_over_is_accepted_only(web: Web) -> None:
    answer = web.upload(("1.jpg", CHELSEA), query_string={"wait": "0.01"})

    assert answer.status_code == 202
    assert answer.json["jobs"][0]["status"] == "pending"


def test_waiting_for_an_upload_of_which_some_are_refused_ends_with_the_others(
    web: Web, world: World
) -> None:
    asked = web.meanwhile(
        lambda: web.upload(("1.jpg", CHELSEA), ("x.jpg", b"text"), query_string=LONG)
    )
    world.finish(world.take(1))
    web.listen()

    answer = asked.answer()
    assert answer.status_code == 200
    assert [job["status"] for job in answer.json["jobs"]] == ["done", "rejected"]


def test_a_preference_to_wait_is_honoured_and_confirmed(web: Web, world: World) -> None:
    headers = {"Prefer": "respond-async, wait=20"}
    asked = web.meanwhile(lambda: web.upload(("1.jpg", CHELSEA), headers=headers))
    world.finish(world.take(1))
    web.listen()

    answer = asked.answer()
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=20"


@pytest.mark.parametrize("prefer", ["wait", "wait=soon", "wait=-1", "handling=lenient", ""])
def test_any_other_preference_is_ignored(web: Web, prefer: str) -> None:
    answer = web.upload(("1.jpg", CHELSEA), headers={"Prefer": prefer})

    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("wait", ["", "soon", "-1", "nan", "inf", "1e999", "10s"])
def test_a_wait_that_is_no_time_is_a_problem(web: Web, world: World, wait: str) -> None:
    answer = web.upload(("1.jpg", CHELSEA), query_string={"wait": wait})

    assert (answer.status_code, answer.json["code"]) == (400, "bad_wait")
    assert "wait=10" in answer.json["detail"]
    assert world.store.images == {}


def test_no_wait_is_longer_than_the_setting(world: World) -> None:
    web = Web(world, max_wait_s=0.01)

    answer = web.upload(("1.jpg", CHELSEA), headers={"Prefer": "wait=86400"})

    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=0.01"


def test_a_result_of_another_process_is_found_in_the_store(web: Web, world: World) -> None:
    # given a job whose replies go to the process that took it
    job = web.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    other = Web(world)
    asked = other.meanwhile(lambda: other.get(job["url"], query_string=LONG))

    # when the result is there, and the other process looks for what it waits for
    eventually(other.services.hub.wanted)
    world.finish(world.take(1))
    until_known(other)

    assert asked.answer().json["label"] == "1.jpg 1"


def test_a_lost_reply_costs_only_time(web: Web, world: World) -> None:
    asked = web.meanwhile(lambda: web.upload(("1.jpg", CHELSEA), query_string=LONG))
    world.finish(world.take(1), reply=False)
    until_known(web)

    assert asked.answer().json["jobs"][0]["label"] == "1.jpg 1"


def until_known(web: Web) -> None:
    """Look for what is wanted until nothing is, as the lookout does in time."""
    eventually(web.services.hub.wanted)
    while wanted := web.services.hub.wanted():
        for batch, numbers in wanted.items():
            web.services.results.look(batch, numbers)


def test_a_reply_that_comes_twice_is_told_once(web: Web, world: World) -> None:
    asked = web.meanwhile(
        lambda: web.upload(("1.jpg", CHELSEA), ("2.jpg", COFFEE), query_string=LONG)
    )
    first, second = world.take(2)
    for _ in range(3):
        world.finish([first])
        web.listen()
    world.finish([second])
    web.listen()

    assert [job["label"] for job in asked.answer().json["jobs"]] == ["1.jpg 1", "2.jpg 1"]


def test_two_processes_get_their_own_replies(web: Web, world: World) -> None:
    # given two processes that wait for an upload each
    other = Web(world)
    asked = [
        each.meanwhile(lambda each=each: each.upload(("1.jpg", CHELSEA), query_string=LONG))  # type: ignore[misc]
        for each in (web, other)
    ]

    # when each takes only the replies of its own queue
    world.finish(world.take(2))
    web.listen()
    other.listen()

    jobs = [each.answer().json["jobs"][0] for each in asked]
    assert [job["status"] for job in jobs] == ["done", "done"]
    assert jobs[0]["id"] != jobs[1]["id"]


@pytest.fixture
def full(world: World) -> Iterator[Web]:
    """A process in which as many requests wait as may."""
    web = Web(world, max_waiting=1)
    asked = web.meanwhile(lambda: web.upload(("1.jpg", CHELSEA), query_string=LONG))
    (request,) = world.take(1)
    eventually(web.services.hub.wanted)
    yield web
    world.finish([request])
    web.listen()
    assert asked.answer().status_code == 200


def test_one_request_too_many_to_wait_is_answered_at_once(full: Web) -> None:
    answer = full.upload(("2.jpg", CHELSEA), headers={"Prefer": "wait=20"})

    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers
    assert answer.headers["Retry-After"] == "1"


def test_one_who_polls_when_all_seats_are_taken_is_told_when_to_ask_again(full: Web) -> None:
    told = full.upload(("2.jpg", CHELSEA)).json

    for path in (told["url"], told["jobs"][0]["url"]):
        answer = full.get(path, query_string=LONG)
        assert (answer.status_code, answer.headers["Retry-After"]) == (200, "1")
        # and who does not want to wait is told nothing of the kind
        assert "Retry-After" not in full.get(path).headers


def test_with_all_seats_taken_everything_that_does_not_wait_is_answered(full: Web) -> None:
    assert full.get("/healthz").status_code == 200
    assert full.get("/").status_code == 200
    assert full.upload(("2.jpg", CHELSEA)).status_code == 202


def test_a_label_that_would_have_to_be_waited_for_is_refused_when_all_seats_are_taken(
    full: Web, world: World
) -> None:
    before = dict(world.store.images)

    answer = full.upload(("2.jpg", CHELSEA), path="/")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert world.store.images == before


def test_a_stream_is_refused_when_all_seats_are_taken(full: Web) -> None:
    batch = full.upload(("2.jpg", CHELSEA)).json["batch"]

    answer = full.get(f"/api/v1/batches/{batch}/events")

    assert (answer.status_code, answer.json["code"]) == (503, "busy")


def test_a_seat_is_free_again_after_the_wait(world: World) -> None:
    web = Web(world, max_waiting=1)
    for _ in range(3):
        answer = web.upload(("1.jpg", CHELSEA), headers={"Prefer": "wait=0.01"})
        assert answer.headers["Preference-Applied"]


def test_a_process_that_stops_lets_everybody_go(web: Web, world: World) -> None:
    # given an upload and a batch that are waited for
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    asked = [
        web.meanwhile(lambda: web.upload(("2.jpg", COFFEE), query_string=LONG)),
        web.meanwhile(lambda: web.get(f"/api/v1/batches/{batch}", query_string=LONG)),
    ]
    eventually(lambda: len(web.services.hub.wanted()) == 2)

    web.services.close()

    assert [each.answer().status_code for each in asked] == [202, 200]
    assert asked[1].answer().json["pending"] == 1
