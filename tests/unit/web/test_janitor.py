from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imagefleet_core.errors import DecodeError, Unavailable
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import Request, Result
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.janitor import Janitor
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
    result = Result.decode(body)
    assert (result.name, result.key) == ("photo.jpg", "inbox/photo.jpg")


UNREADABLE = [
    "",
    "what?",
    "[]",
    '{"v": 1}',
    '{"Records": [{}]}',
    "[" * 10_000,
    "?" * 200_000,
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
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


def test_one_letter_that_the_store_refuses_holds_up_none_of_the_others(
    web: Web, world: World, janitor: Janitor
) -> None:
    web.upload(*[(f"{number}.jpg", CHELSEA) for number in range(5)])
    first, *others = bury(world, 5)
    world.store.outage.begin("put_result", 1)

    with pytest.raises(Unavailable, match="1 of 5 dead letters"):
        janitor.turn()

    assert {each for each in others if world.store.get_result(each.job)} == set(others)
    assert world.dead_letters.bodies() == [first.encode()]

    # and it is answered when it comes again
    world.dead_letters.redeliver()
    janitor.turn()
    assert world.store.get_result(first.job) is not None
    assert world.dead_letters.bodies() == []


def test_a_letter_that_meets_a_bug_is_kept_and_told_whole(
    web: Web, world: World, janitor: Janitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.upload(("1.jpg", CHELSEA), ("2.jpg", CHELSEA))
    first, second = bury(world, 2)
    real = world.store.put_result

    def put_result(result: Result) -> bool:
        if result.job == first.job:
            raise ValueError("nobody thought of this")
        return real(result)

    monkeypatch.setattr(world.store, "put_result", put_result)
    with capture_logs() as logs, pytest.raises(Unavailable):
        janitor.turn()

    assert [line["data"] for line in logs if line["log_level"] == "error"] == [first.encode()]
    assert world.dead_letters.bodies() == [first.encode()]
    assert world.store.get_result(second.job) is not None


def test_a_letter_that_can_not_be_deleted_comes_again_and_is_told_once(
    web: Web, world: World, janitor: Janitor
) -> None:
    asking = Web(world)
    asked = asking.meanwhile(lambda: asking.upload(("1.jpg", CHELSEA), path="/?wait=20"))
    (request,) = bury(world)
    world.dead_letters.outage.begin("delete", 1)

    with pytest.raises(Unavailable):
        janitor.turn()
    world.dead_letters.redeliver()
    janitor.turn()

    assert world.dead_letters.bodies() == []
    assert len(world.queues.open(request.reply_to or "").bodies()) == 1
    asking.listen()
    assert asked.answer().status_code == 422


def test_a_letter_about_several_files_is_kept_until_all_have_a_result(
    world: World, janitor: Janitor
) -> None:
    records = [
        {"eventTime": "2026-01-31T12:00:00.000Z", "s3": {"object": {"key": f"inbox/{name}"}}}
        for name in "ab"
    ]
    world.dead_letters.send([json.dumps({"Records": records})])
    world.store.outage.begin("put_result", 1)
    with pytest.raises(Unavailable):
        janitor.turn()
    assert len(world.dead_letters.bodies()) == 1

    world.dead_letters.redeliver()
    janitor.turn()

    assert len(world.store.results) == 2
    assert world.dead_letters.bodies() == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# JSON escapes what no UTF-8 can hold, so a message can carry it.
ODD_TEXT = st.text(st.sampled_from("a.é/\\%\x00\uffff\ud800\U0001f408"), max_size=300)
TIMES = st.sampled_from(["2026-01-31T12:00:00.000Z", "0001-01-01T00:00:00+14:00", "1969-01-01Z"])
REQUESTS = st.fixed_dictionaries(
    {
        "v": st.just(1),
        "job": st.uuids(version=4).map("{}-0001".format),
        "key": ODD_TEXT,
        "name": ODD_TEXT,
        "reply_to": st.none() | ODD_TEXT,
        "submitted_at": TIMES,
    }
)
EVENTS = st.builds(
    lambda key, at: {"Records": [{"eventTime": at, "s3": {"object": {"key": f"inbox/{key}"}}}]},
    ODD_TEXT,
    TIMES,
)
LETTERS = st.one_of(REQUESTS, EVENTS, VALUES).map(json.dumps) | st.text()


@given(bodies=st.lists(LETTERS, max_size=10))
def test_whatever_the_letters_say_all_are_answered_or_told_and_none_is_left(
    bodies: list[str],
) -> None:
    world = World()
    janitor = Janitor(world.queues, world.store, Hub(), dead_letters=DEAD_LETTERS, process="web")
    world.dead_letters.send(bodies)

    with capture_logs() as logs:
        janitor.turn()

    assert world.dead_letters.bodies() == []
    told = [line["data"] for line in logs if line["log_level"] == "error"]
    assert len(told) + len(world.store.results) <= len(bodies)
    assert all(Result.decode(body).error for body in world.store.results.values())
    assert {body for body in bodies if _is_job(body)} & set(told) == set()


def _is_job(body: str) -> bool:
    try:
        return bool(decode_requests(body))
    except DecodeError:
        return False


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
