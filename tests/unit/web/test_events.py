from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from imagefleet_web.telling import events
from web_tier import CHELSEA, Answer, Web, World

NAMES = ["1.jpg", "broken.jpg", "3.jpg"]


def blocks(answer: Answer) -> Iterator[dict[str, str]]:
    """Read a stream event by event, as its fields; comments are left out."""
    for block in answer.iter_encoded():
        text = block.decode()
        assert text.endswith("\n\n")
        lines = [line for line in text.splitlines() if line and not line.startswith(":")]
        yield dict(line.split(": ", 1) for line in lines)


def stream(web: Web, batch: str, **options: Any) -> Answer:
    return web.get(f"/api/v1/batches/{batch}/events", buffered=False, **options)


def test_results_are_streamed_as_they_arrive(web: Web, world: World) -> None:
    # given a batch of which one result is known
    batch = web.upload(*[(name, CHELSEA) for name in NAMES]).json["batch"]
    requests = world.take(3)
    world.finish(requests[2:])
    answer = stream(web, batch)
    told = blocks(answer)
    assert int(next(told)["retry"]) > 0

    # then that one comes first
    first = next(told)
    assert first["event"] == "result"
    assert json.loads(first["data"]) == web.get(f"/api/v1/jobs/{batch}-0003").json

    # and each of the others when it arrives
    for request, status in zip(requests, ["done", "failed"], strict=False):
        world.finish([request])
        web.listen()
        event = next(block for block in told if block)
        job = json.loads(event["data"])
        assert (job["id"], job["status"]) == (str(request.job), status)

    # and the end after the last
    end = next(block for block in told if block)
    assert end["event"] == "end"
    summary = web.get(f"/api/v1/batches/{batch}").json
    del summary["jobs"]
    assert json.loads(end["data"]) == summary
    assert not list(told)


def test_a_stream_is_neither_kept_nor_buffered_on_its_way(web: Web) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]

    answer = stream(web, batch)

    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    answer.close()


def numbers(told: Iterable[dict[str, str]]) -> list[int]:
    """Return the numbers of the jobs whose results were told."""
    return [
        int(json.loads(block["data"])["id"][-4:])
        for block in told
        if block.get("event") == "result"
    ]


def test_one_that_reconnects_is_told_only_what_it_has_not_heard(web: Web, world: World) -> None:
    batch = web.upload(*[(name, CHELSEA) for name in NAMES]).json["batch"]
    requests = world.take(3)
    world.finish(requests[2:])
    web.listen()

    # given a client that heard of one result and then lost its connection
    answer = stream(web, batch)
    told = blocks(answer)
    next(told)
    last = next(told)["id"]
    answer.close()

    # when it comes again, to another process, after a second result
    world.finish(requests[:1])
    other = Web(world)
    answer = stream(other, batch, headers={"Last-Event-ID": last})
    told = blocks(answer)
    assert numbers([next(told), next(told)]) == [1]

    # then the third is told when it arrives, and the end
    world.finish(requests[1:2], reply=False)
    assert other.services.results.look(batch, [2])
    rest = list(told)
    assert numbers(rest) == [2]
    assert rest[-1]["event"] == "end"
    other.services.close()


def test_one_that_heard_everything_but_the_end_is_told_the_end(web: Web, world: World) -> None:
    batch = web.upload(*[(name, CHELSEA) for name in NAMES]).json["batch"]
    world.finish(world.take(3))
    web.listen()
    *_, last, _end = blocks(stream(web, batch))

    told = list(blocks(stream(web, batch, headers={"Last-Event-ID": last["id"]})))

    assert [block.get("event") for block in told if block] == [None, "end"]


@pytest.mark.parametrize(
    "last", ["2", "x", "-1.0", "99999.0", "0.-1", "0." + "f" * 2501, "\xe4.0", "1.0 "]
)
def test_one_whose_last_event_is_none_of_ours_is_told_everything(
    web: Web, world: World, last: str
) -> None:
    batch = web.upload(*[(name, CHELSEA) for name in NAMES]).json["batch"]
    world.finish(world.take(3))
    web.listen()

    told = blocks(stream(web, batch, headers={"Last-Event-ID": last}))

    assert numbers(told) == [1, 2, 3]


def test_a_silent_stream_shows_that_it_is_alive(web: Web) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    standing = web.services.results.of_batch(batch)

    told = events.stream(web.services.hub, standing, heartbeat_s=0.001)

    assert next(told).startswith("retry:")
    assert [next(told) for _ in range(3)] == [": alive\n\n"] * 3


def test_a_client_that_leaves_frees_its_seat(world: World) -> None:
    web = Web(world, max_waiting=1)
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]

    # given streams that are left before anything was read of them, and after
    for reads in (0, 1, 0):
        answer = stream(web, batch)
        assert answer.status_code == 200
        told = blocks(answer)
        for _ in range(reads):
            next(told)
        answer.close()

    assert web.services.seats.take()
    assert stream(web, batch).status_code == 503


def test_a_process_that_stops_ends_its_streams_for_the_client_to_reconnect(web: Web) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    answer = stream(web, batch)
    told = blocks(answer)
    next(told)

    web.services.close()

    assert [block for block in told if block] == []
