from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from imagefleet_core.errors import Unavailable
from imagefleet_core.jobs import Request, Result
from imagefleet_web.janitor import Janitor
from web_tier import CHELSEA, DEAD_LETTERS, Web, World


@pytest.fixture
def janitor(web: Web, world: World) -> Janitor:
    return a_janitor(web, world)


def a_janitor(web: Web, world: World) -> Janitor:
    hub = web.services.hub
    return Janitor(world.queues, world.store, hub, dead_letters=DEAD_LETTERS, process="web-test")


def bury(world: World, count: int = 1) -> list[Request]:
    """Move `count` requests to the dead-letter queue, as SQS does after too many tries."""
    requests = world.take(count)
    world.dead_letters.send([request.encode() for request in requests])
    return requests


def test_an_image_that_ended_its_workers_fails_and_whoever_waits_is_told(
    web: Web, world: World, janitor: Janitor
) -> None:
    asked = web.meanwhile(lambda: web.upload(("1.jpg", CHELSEA), query_string={"wait": "20"}))
    (request,) = bury(world)

    janitor.turn()

    # then the request that waits is told
    answer = asked.answer()
    assert answer.status_code == 200
    (job,) = answer.json["jobs"]
    assert (job["status"], job["error"]["code"]) == ("failed", "worker_crashed")
    assert job["error"]["message"].endswith(".")
    assert (job["name"], job["model"]) == ("1.jpg", None)

    # and the store has it, and the letter is gone
    stored = world.store.get_result(request.job)
    assert stored is not None
    assert stored.worker == "web-test"
    assert world.dead_letters.bodies() == []


def test_another_process_that_asked_gets_a_reply(web: Web, world: World, janitor: Janitor) -> None:
    other = Web(world)
    asked = other.meanwhile(lambda: other.upload(("1.jpg", CHELSEA), path="/?wait=20"))
    bury(world)

    janitor.turn()
    other.listen()

    assert asked.answer().status_code == 422


def test_a_result_that_is_there_already_counts(web: Web, world: World, janitor: Janitor) -> None:
    # given a worker that stored its result but never came to delete the request
    job = web.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    world.finish(bury(world), reply=False)

    janitor.turn()

    assert web.get(job["url"]).json["status"] == "done"
    assert world.dead_letters.bodies() == []


def test_a_request_whose_process_is_gone_fails_all_the_same(
    web: Web, world: World, janitor: Janitor
) -> None:
    gone = Web(world)
    job = gone.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    gone.services.close()
    bury(world)

    janitor.turn()

    assert web.get(job["url"]).json["error"]["code"] == "worker_crashed"
    assert world.dead_letters.bodies() == []


def test_an_inbox_image_fails_too(web: Web, world: World, janitor: Janitor) -> None:
    event = {
        "eventTime": "2026-01-31T12:00:00.000Z",
        "s3": {"object": {"key": "inbox/photo.jpg", "sequencer": "1"}},
    }
    world.dead_letters.send([json.dumps({"Records": [event]})])

    janitor.turn()

    (body,) = world.store.results.values()
    assert Result.decode(body).name == "photo.jpg"


@pytest.mark.parametrize("body", ["", "what?", "[]", '{"v": 1}', '{"Records": [{}]}'])
def test_a_letter_that_nobody_understands_is_logged_whole_and_only_once(
    world: World, janitor: Janitor, body: str
) -> None:
    world.dead_letters.send([body])

    with capture_logs() as logs:
        janitor.turn()
        janitor.turn()

    assert [line["data"] for line in logs if line["log_level"] == "error"] == [body]
    assert world.dead_letters.bodies() == []
    assert world.store.results == {}


def test_a_letter_is_kept_while_its_result_cannot_be_stored(
    web: Web, world: World, janitor: Janitor
) -> None:
    web.upload(("1.jpg", CHELSEA), ("2.jpg", CHELSEA))
    bury(world, 2)
    world.store.outage.begin("put_result", 1)

    with pytest.raises(Unavailable):
        janitor.turn()
    assert len(world.dead_letters.bodies()) == 2

    world.dead_letters.redeliver()
    janitor.turn()
    assert len(world.store.results) == 2
    assert world.dead_letters.bodies() == []


def test_a_letter_that_comes_to_two_processes_at_once_makes_one_result(
    web: Web, world: World, janitor: Janitor
) -> None:
    job = web.upload(("1.jpg", CHELSEA)).json["jobs"][0]
    (request,) = bury(world)
    janitor.turn()
    first = dict(world.store.results)
    world.dead_letters.send([request.encode()])

    a_janitor(Web(world), world).turn()

    assert world.store.results == first
    assert web.get(job["url"]).json["status"] == "failed"
