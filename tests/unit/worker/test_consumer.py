"""What the worker makes of the messages it receives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from imagefleet_core.jobs import Status
from worker_tier import Tier, finish, label, picture, work


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


def event(*keys: str) -> str:
    """Return the message that S3 sends for uploads to its inbox."""
    records: list[dict[str, Any]] = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventTime": "2026-01-31T12:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": "imagefleet-input"},
                "object": {"key": key, "size": 1, "eTag": "e", "sequencer": f"00{number}"},
            },
        }
        for number, key in enumerate(keys)
    ]
    return json.dumps({"Records": records})


def test_a_worker_holds_no_more_than_it_is_told_to(tier: Tier) -> None:
    tier.submit(picture((1, 1, number)) for number in range(60))
    worker = tier.worker(max_in_flight=30)

    for _ in range(3):
        worker.consumer.turn()

    assert worker.leases.held() == 30
    assert not worker.leases.wait_for_room(wait_s=0)
    finish(worker)
    assert worker.leases.wait_for_room(wait_s=0) == 30


def test_a_worker_of_slow_images_leaves_them_to_others(tier: Tier) -> None:
    tier.submit(picture((1, 1, number)) for number in range(20))
    worker = tier.worker(image_s=0.3)

    for _ in range(3):
        worker.consumer.turn()

    # then it holds what it does in about a second, and receives no more than that
    assert worker.leases.held() == 4
    assert tier.requests.counts().visible == 16


def test_uploads_to_the_inbox_are_classified_without_any_other_call(tier: Tier) -> None:
    keys = ["inbox/a photo.png", "inbox/b.png", "inbox/c.png"]
    for number, key in enumerate(keys):
        tier.store.put_image(key, picture((number, 0, 0)), "image/png")
    tier.requests.send([event("inbox/a+photo.png", *keys[1:])])

    work(tier.worker())

    results = [*map(json.loads, tier.store.results.values())]
    assert [body["key"] for body in results] == keys
    found = {body["name"]: body["label"] for body in results}
    assert found == {
        "a photo.png": label((0, 0, 0)),
        "b.png": label((1, 0, 0)),
        "c.png": label((2, 0, 0)),
    }
    assert tier.requests.bodies() == []


def test_a_message_of_several_images_stays_until_all_are_finished(tier: Tier) -> None:
    tier.store.put_image("inbox/a.png", picture((1, 0, 0)), "image/png")
    tier.store.put_image("inbox/b.png", b"", "image/png")
    tier.requests.send([event("inbox/a.png", "inbox/b.png")])
    worker = tier.worker()

    # given that the result of one of them can't be stored for now
    worker.consumer.turn()
    tier.store.outage.begin("put_result", times=1)
    finish(worker)
    assert len(tier.store.results) == 1
    assert len(tier.requests.bodies()) == 1

    tier.clock.now += 1
    finish(worker)
    assert len(tier.store.results) == 2
    assert tier.requests.bodies() == []


def test_the_test_event_of_s3_is_dropped(tier: Tier) -> None:
    tier.requests.send([json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})])
    worker = tier.worker()

    work(worker)

    assert tier.requests.bodies() == []
    assert tier.dead.bodies() == []
    assert worker.leases.held() == 0


@pytest.mark.parametrize("body", ["", "not JSON", "[1]", '{"v":2}', '{"v":1,"job":"x"}', "\ud800"])
def test_a_message_nobody_can_read_soon_is_a_dead_letter_and_logged_once(
    tier: Tier, body: str
) -> None:
    (job,) = tier.submit([picture((1, 1, 1))])
    tier.requests.send([body])
    worker = tier.worker()

    with capture_logs() as logs:
        for _ in range(8):
            work(worker)
            tier.clock.now += 2

    # then it is there within seconds, and the message beside it was no worse off
    assert tier.dead.bodies() == [body]
    assert tier.requests.bodies() == []
    assert tier.result(job).status is Status.DONE
    (said,) = [each for each in logs if each["log_level"] == "error"]
    assert said["data"] == body


def test_while_the_queue_is_away_the_worker_waits_ever_longer_and_says_it_once(tier: Tier) -> None:
    worker = tier.worker()
    tier.requests.outage.begin()

    with capture_logs() as logs:
        pauses = []
        for _ in range(8):
            pauses.append(worker.consumer.turn())
            tier.clock.now += pauses[-1]
        tier.requests.outage.end()
        assert worker.consumer.turn() == 0

    assert pauses == [0.5, 1, 2, 4, 8, 10, 10, 10]
    assert [each["log_level"] for each in logs] == ["warning", "info"]


def test_a_queue_that_is_gone_and_comes_back_stops_nobody(tier: Tier) -> None:
    worker = tier.worker()
    tier.requests.missing = True
    assert worker.consumer.turn() > 0

    tier.requests.missing = False
    (job,) = tier.submit([picture((1, 1, 1))])
    work(worker)

    assert tier.result(job).status is Status.DONE
