"""A worker that can't work on any image is told apart from images that can't be worked on."""

from __future__ import annotations

from datetime import UTC, datetime

from imagefleet_core.jobs import Failure, JobId, Prediction, Result, new_batch_id
from imagefleet_worker.health.streak import LONGEST, Streak

BATCH = new_batch_id()


def result(error: Failure | None = None) -> Result:
    now = datetime.now(UTC)
    top = () if error else (Prediction("tabby", 0.9),)
    return Result(JobId(BATCH, 1), "cat.jpg", top, error, "net@1", "worker-1", now, now, now)


def test_many_different_images_in_a_row_are_not_the_images_fault() -> None:
    streak = Streak()

    for number in range(1, LONGEST):
        streak.spoilt(JobId(BATCH, number))
    assert streak.problem() == ""

    streak.spoilt(JobId(BATCH, LONGEST))
    assert streak.problem() == f"{LONGEST} images in a row could not be worked on"


def test_one_image_that_comes_again_and_again_counts_once() -> None:
    streak = Streak()

    for _ in range(10 * LONGEST):
        streak.spoilt(JobId(BATCH, 1))

    assert streak.problem() == ""


def test_an_image_that_worked_ends_the_streak() -> None:
    streak = Streak()

    for number in range(1, 10 * LONGEST):
        streak.spoilt(JobId(BATCH, number))
        if number % (LONGEST - 1) == 0:
            streak.stored(result())

    assert streak.problem() == ""


def test_a_broken_picture_says_nothing_of_the_network() -> None:
    streak = Streak()

    for number in range(1, LONGEST + 1):
        streak.spoilt(JobId(BATCH, number))
        streak.stored(result(Failure("truncated", "The image ends too early.")))

    assert streak.problem() != ""
