"""Nothing is left of an upload that failed, however long the store does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clock import Clock
from imagefleet_core import keys
from imagefleet_core.errors import Unavailable
from imagefleet_core.jobs import JobId, new_batch_id
from imagefleet_web.calls import Calls
from imagefleet_web.uploads import undoing
from imagefleet_web.uploads.claims import Claims, Unclaimed
from imagefleet_web.uploads.undoing import AT_ONCE_S, PATIENCE_S, SILENCES, Undoing
from web_tier import CHELSEA, Web, World

SILENT_S = 1.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Iterator[Calls]:
    with Calls(2, PATIENCE_S, clock) as pool:
        yield pool


@pytest.fixture
def ours(world: World, pool: Calls, clock: Clock) -> Undoing:
    return Undoing(world.store, pool, silent_s=SILENT_S, clock=clock)


def stored(world: World) -> str:
    """Store an image of a batch that nobody is to hear of; return the batch."""
    batch = new_batch_id()
    world.store.images[keys.input_key(JobId(batch, 1), "cat.jpg")] = CHELSEA
    return batch


def test_a_batch_is_gone_at_once(world: World, ours: Undoing) -> None:
    ours.undo(stored(world), Unclaimed())

    assert world.store.images == {}


def test_a_batch_is_gone_once_the_store_answers(world: World, ours: Undoing, clock: Clock) -> None:
    # given a store that does not answer
    world.store.outage.begin()
    ours.undo(stored(world), Unclaimed())
    clock.now += 2 * AT_ONCE_S
    with pytest.raises(Unavailable):
        ours.turn()
    assert len(world.store.images) == 1

    # when it does
    world.store.outage.end()
    ours.turn()

    assert world.store.images == {}


def test_one_batch_that_cannot_be_deleted_does_not_hold_up_the_others(
    world: World, ours: Undoing, clock: Clock
) -> None:
    world.store.outage.begin("delete_batch", 3)
    for _ in range(2):
        ours.undo(stored(world), Unclaimed())
    clock.now += 2 * AT_ONCE_S
    with pytest.raises(Unavailable):
        ours.turn()

    assert len(world.store.images) == 1


def test_an_image_that_arrives_late_is_gone_a_while_later(
    world: World, ours: Undoing, clock: Clock
) -> None:
    # given a batch that is undone before S3 has stored its image
    batch = new_batch_id()
    ours.undo(batch, Unclaimed())
    world.store.images[keys.input_key(JobId(batch, 1), "cat.jpg")] = CHELSEA
    ours.turn()
    assert len(world.store.images) == 1

    clock.now += SILENCES * SILENT_S
    ours.turn()

    assert world.store.images == {}
    # and then it is nobody's business any more
    world.store.outage.begin()
    clock.now += PATIENCE_S
    ours.turn()


def test_what_cannot_be_deleted_for_long_is_left_to_the_bucket(
    world: World, ours: Undoing, clock: Clock
) -> None:
    world.store.outage.begin()
    ours.undo(stored(world), Unclaimed())
    clock.now += PATIENCE_S
    with pytest.raises(Unavailable):
        ours.turn()

    world.store.outage.end()
    clock.now += PATIENCE_S
    ours.turn()

    assert len(world.store.images) == 1


def test_no_more_uploads_are_kept_in_mind_than_there_is_room_for(
    world: World, ours: Undoing, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undoing, "MOST", 2)
    world.store.outage.begin()
    for _ in range(3):
        ours.undo(stored(world), Unclaimed())

    world.store.outage.end()
    clock.now += 2 * AT_ONCE_S
    ours.turn()

    assert len(world.store.images) == 1


def test_a_batch_that_another_process_goes_on_with_stays(
    world: World, ours: Undoing, pool: Calls, clock: Clock
) -> None:
    # given a claim that another process took over while the store did not answer
    claims = Claims(world.store, pool, dead_after_s=60)
    batch = stored(world)
    claim = claims.take(None, "key", batch, "these files")
    claim.stored()
    world.store.outage.begin()
    ours.undo(batch, claim)
    world.store.outage.end()
    other = Claims(world.store, pool, dead_after_s=0).take(
        None, "key", new_batch_id(), "these files"
    )
    assert other.batch == batch

    clock.now += 2 * AT_ONCE_S
    ours.turn()

    assert len(world.store.images) == 1


def test_a_batch_whose_key_comes_again_is_gone_and_the_new_one_stays(
    world: World, ours: Undoing, pool: Calls, clock: Clock
) -> None:
    claims = Claims(world.store, pool, dead_after_s=0)
    batch = stored(world)
    claim = claims.take(None, "key", batch, "these files")
    world.store.outage.begin()
    ours.undo(batch, claim)
    world.store.outage.end()
    new = stored(world)
    assert claims.take(None, "key", new, "these files").batch == new

    clock.now += 2 * AT_ONCE_S
    ours.turn()

    assert [key.split("/")[0] for key in world.store.images] == [new]


def test_what_sqs_took_of_a_failed_upload_is_told_to_nobody(web: Web, world: World) -> None:
    # given a queue that takes requests, and whose answer is lost
    original = world.requests.send

    def send(bodies: list[str]) -> None:
        original(bodies)
        raise Unavailable("the answer was lost")

    world.requests.send = send  # type: ignore[assignment,method-assign]
    assert web.upload(("cat.jpg", CHELSEA)).status_code == 503

    # when a worker takes one, and finds no image
    (request,) = world.queued()
    (result,) = world.finish([request])

    # then there is no such upload
    assert world.store.images == {}
    assert web.get("/api/v1/batches").json["batches"] == []
    assert web.get(f"/api/v1/batches/{result.job.batch}").status_code == 410


def test_a_key_is_free_again_though_the_store_failed_amid_its_upload(
    web: Web, world: World, clock: Clock
) -> None:
    headers = {"Idempotency-Key": "key"}
    world.requests.outage.begin("send")
    assert web.upload(("cat.jpg", CHELSEA), headers=headers).status_code == 503
    world.requests.outage.end()

    answer = web.upload(("cat.jpg", CHELSEA), headers=headers)

    assert answer.status_code == 202
    assert [request.job.batch for request in world.queued()] == [answer.json["batch"]]
    assert len(world.store.images) == 1
