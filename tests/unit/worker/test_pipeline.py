"""What becomes of images, whatever happens on their way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

import worker_tier
from imagefleet_core import keys
from imagefleet_core.jobs import JobId, Status, new_batch_id
from imagefleet_worker.children.child import ChildLost
from imagefleet_worker.memory import Shares
from imagefleet_worker.recipe import Picture
from worker_tier import CURSED, Tier, finish, label, picture, work

COLOURS = [(number, 20, 200) for number in range(25)]


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


def test_every_image_gets_its_own_result_and_its_message_is_deleted(tier: Tier) -> None:
    jobs = tier.submit(picture(colour) for colour in COLOURS)

    work(tier.worker())

    results = [tier.result(job) for job in jobs]
    assert [result.label for result in results] == [label(colour) for colour in COLOURS]
    assert {result.model for result in results} == {"colours@1"}
    assert {result.worker for result in results} == {"worker-1"}
    assert all(each.submitted_at <= each.started_at <= each.finished_at for each in results)
    assert tier.requests.bodies() == []


def test_whoever_asked_is_told_each_result_once(tier: Tier) -> None:
    jobs = tier.submit(picture(colour) for colour in COLOURS)

    work(tier.worker())

    assert tier.told() == dict.fromkeys(jobs, 1)


def test_an_image_nobody_waits_for_gets_its_result_too(tier: Tier) -> None:
    (job,) = tier.submit([picture((1, 2, 3))], reply_to=None)

    work(tier.worker())

    assert tier.result(job).status is Status.DONE
    assert tier.requests.bodies() == []


def post(tier: Tier, job: JobId, file: bytes) -> None:
    """Upload an image to the bucket directly, as a client with a form for a job does."""
    key = keys.inbox_key(job, "cat.png")
    tier.store.put_image(key, file, "image/png")
    record = {"eventTime": "2026-01-31T12:00:00.000Z", "s3": {"object": {"key": key}}}
    tier.requests.send([json.dumps({"Records": [record]})])


def test_a_form_that_is_used_again_has_one_answer(tier: Tier) -> None:
    job = JobId(new_batch_id(), 7)
    post(tier, job, picture((1, 2, 3)))
    work(tier.worker())
    batches = len(tier.colours.batches)

    # when the client uploads another image with the form
    post(tier, job, picture((200, 2, 3)))
    work(tier.worker())

    assert tier.result(job).label == label((1, 2, 3))
    assert tier.result(job).key is None
    assert len(tier.colours.batches) == batches
    assert tier.requests.bodies() == []


def test_a_form_can_be_used_again_after_a_failure(tier: Tier) -> None:
    job = JobId(new_batch_id(), 1)
    post(tier, job, b"no picture at all")
    work(tier.worker())
    assert tier.result(job).status is Status.FAILED

    post(tier, job, picture((1, 2, 3)))
    work(tier.worker())

    assert tier.result(job).label == label((1, 2, 3))


def test_a_result_that_cannot_be_read_is_no_answer(tier: Tier) -> None:
    job = JobId(new_batch_id(), 1)
    tier.store.results[keys.result_key(job)] = b"{}"
    post(tier, job, picture((1, 2, 3)))

    work(tier.worker())

    assert tier.result(job).label == label((1, 2, 3))


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"", "empty_file"),
        (b"no picture at all", "not_an_image"),
        (picture((1, 2, 3))[:45], "truncated"),
        (bytes(20 * 1024 * 1024 + 1), "file_too_large"),
    ],
    ids=["empty", "not an image", "truncated", "too large"],
)
def test_what_is_no_picture_fails_at_once_with_a_reason(tier: Tier, file: bytes, code: str) -> None:
    bad, good = tier.submit([file, picture((1, 2, 3))])

    work(tier.worker())

    failed = tier.result(bad)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.code == code
    assert len(failed.error.message) > 10
    assert tier.result(good).status is Status.DONE
    assert tier.told() == {bad: 1, good: 1}
    assert tier.requests.bodies() == []


def test_an_image_that_was_deleted_meanwhile_fails_with_a_reason(tier: Tier) -> None:
    (job,) = tier.submit([picture((1, 2, 3))])
    tier.store.images.clear()

    work(tier.worker())

    failed = tier.result(job)
    assert failed.error is not None
    assert failed.error.code == "image_missing"


def test_what_is_ready_is_processed_together(tier: Tier) -> None:
    tier.submit(picture(colour) for colour in COLOURS[:10])

    work(tier.worker(max_batch=8))

    assert tier.colours.batches == [8, 2]


def test_an_image_that_the_network_fails_on_leaves_its_batch_alone(tier: Tier) -> None:
    first, cursed, last = tier.submit(picture(each) for each in [(1, 1, 1), CURSED, (2, 2, 2)])

    work(tier.worker())

    # then the others have their results, and the one is hidden until its next try
    assert tier.result(first).label == label((1, 1, 1))
    assert tier.result(last).label == label((2, 2, 2))
    assert tier.store.get_result(cursed) is None
    assert tier.requests.counts().in_flight == 1


def test_an_image_that_the_network_always_fails_on_becomes_a_dead_letter(tier: Tier) -> None:
    tier.submit([picture(CURSED)])
    worker = tier.worker()

    for _ in range(6):
        work(worker)
        tier.clock.now += 100

    assert len(tier.dead.bodies()) == 1
    assert tier.requests.bodies() == []
    assert worker.leases.held() == 0


@pytest.mark.parametrize("error", [MemoryError("a bug"), ChildLost("killed")])
def test_an_image_that_the_decoder_always_fails_on_becomes_a_dead_letter(
    tier: Tier, error: Exception
) -> None:
    def explode(_data: bytes) -> NoReturn:
        raise error

    tier.colours.decode = explode  # type: ignore[method-assign, assignment]
    tier.submit([picture((1, 1, 1))])
    worker = tier.worker()

    for _ in range(6):
        work(worker)
        tier.clock.now += 100

    assert len(tier.dead.bodies()) == 1


def test_an_image_whose_decoder_was_lost_is_done_by_another(tier: Tier) -> None:
    decode, lost = tier.colours.decode, iter([True, False])

    def lose_the_first(data: bytes) -> Picture:
        if next(lost):
            raise ChildLost("the decoder was killed")
        return decode(data)

    tier.colours.decode = lose_the_first  # type: ignore[method-assign]
    (job,) = tier.submit([picture((1, 1, 1))])
    worker = tier.worker()

    work(worker)
    assert tier.found(job) is None
    tier.clock.now += 10
    work(worker)

    assert tier.result(job).status is Status.DONE


def test_memory_of_images_is_given_back_whatever_becomes_of_them(tier: Tier) -> None:
    # given memory for one image at a time, and images that fail in every stage
    tier.memory = Shares(files=1, decoding=1, pixels=1)
    worker = tier.worker(max_batch=1)
    gone, _, _, good = tier.submit([b"gone", b"no image", picture(CURSED), picture((1, 1, 1))])
    tier.store.images.pop(next(key for key in tier.store.images if f"{gone.number:04}" in key))

    def turns() -> None:
        for stage in worker.pipeline.stages:
            stage.turn()

    # when they pass through one by one
    worker.consumer.turn()
    for _ in range(20):
        turns()

    # then the last of them found room
    assert tier.result(good).label == label((1, 1, 1))


@pytest.mark.parametrize("call", ["get_image", "put_result"])
def test_while_the_store_is_away_images_wait_and_use_up_no_try(tier: Tier, call: str) -> None:
    jobs = tier.submit(picture(colour) for colour in COLOURS[:5])
    worker = tier.worker()

    # given a store that is away for a minute
    tier.store.outage.begin(call)
    for _ in range(60):
        work(worker)
        worker.leases.turn()
        tier.clock.now += 1
    assert len(tier.requests.bodies()) == 5
    assert tier.told() == {}

    # when it's back
    tier.store.outage.end()
    tier.clock.now += 10
    work(worker)

    # then all of them are done in their first try
    assert all(tier.result(job).status is Status.DONE for job in jobs)
    assert tier.requests.bodies() == []
    assert tier.told() == dict.fromkeys(jobs, 1)


def test_an_image_that_only_this_worker_cannot_fetch_goes_back_to_the_others(tier: Tier) -> None:
    (job,) = tier.submit([picture((1, 1, 1))])
    cut_off = tier.worker()
    tier.store.outage.begin("get_image")

    # given that it has tried for minutes
    cut_off.consumer.turn()
    for _ in range(40):
        finish(cut_off)
        cut_off.leases.turn()
        tier.clock.now += 10
    assert cut_off.leases.held() == 0

    tier.store.outage.end()
    work(tier.worker(worker_id="worker-2"))
    assert tier.result(job).worker == "worker-2"


def test_a_message_is_deleted_once_the_queue_answers_again(tier: Tier) -> None:
    (job,) = tier.submit([picture((1, 1, 1))])
    worker = tier.worker()
    tier.requests.outage.begin("delete", times=3)

    for _ in range(10):
        work(worker)
        tier.clock.now += 2

    assert tier.result(job).status is Status.DONE
    assert tier.requests.bodies() == []
    assert worker.leases.held() == 0


def test_a_reply_queue_that_is_gone_costs_nothing_but_the_reply(tier: Tier) -> None:
    tier.replies.missing = True
    (job,) = tier.submit([picture((1, 1, 1))])

    work(tier.worker())

    assert tier.result(job).status is Status.DONE
    assert tier.requests.bodies() == []


def test_each_web_process_gets_its_own_replies(tier: Tier) -> None:
    other = tier.queues.add("imagefleet-replies-of-another")
    mine = tier.submit(picture(colour) for colour in COLOURS[:3])
    theirs = tier.submit((picture(each) for each in COLOURS[3:5]), "imagefleet-replies-of-another")

    work(tier.worker())

    assert set(tier.told()) == set(mine)
    assert sorted(worker_tier.jobs_in(other)) == theirs


def test_a_message_that_came_twice_gives_one_result(tier: Tier) -> None:
    (job,) = tier.submit([picture((1, 1, 1))])
    first, second = tier.worker(), tier.worker(worker_id="worker-2")

    # given that both workers hold it
    first.consumer.turn()
    tier.requests.redeliver()
    second.consumer.turn()
    finish(first)
    finish(second)

    assert tier.result(job).label == label((1, 1, 1))
    assert len(tier.store.results) == 1
    assert tier.requests.bodies() == []


def test_a_late_failure_neither_hides_a_label_nor_is_told(tier: Tier) -> None:
    (job,) = tier.submit([picture((1, 1, 1))])
    first, second = tier.worker(), tier.worker(worker_id="worker-2")
    first.consumer.turn()
    tier.requests.redeliver()
    second.consumer.turn()

    # given that it is done, and gone before the second worker fetches it
    finish(first)
    tier.store.images.clear()
    finish(second)

    assert tier.result(job).label == label((1, 1, 1))
    assert tier.told() == {job: 1}


def test_nothing_is_deleted_before_its_result_is_stored(tier: Tier) -> None:
    jobs = tier.submit(picture(colour) for colour in COLOURS[:10])
    worker = tier.worker()
    worker.consumer.turn()

    while any(stage.turn() for stage in worker.pipeline.stages):
        finished = tier.store.result_numbers(jobs[0].batch)
        assert len(tier.requests.bodies()) >= len(jobs) - len(finished)

    assert tier.requests.bodies() == []


def test_replies_of_one_batch_go_out_together(tier: Tier) -> None:
    sent = worker_tier.batches_of(tier.replies, "send")
    tier.submit(picture(colour) for colour in COLOURS[:10])

    work(tier.worker())

    assert sent == [10]
