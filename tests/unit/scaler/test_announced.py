from datetime import UTC, datetime

import pytest

from imagefleet_core.telemetry import Announcement
from imagefleet_scaler.announced import FRESH_S, STALE_S, Announced, Counted

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_an_announcement_counts_once_and_for_a_while() -> None:
    announced, twice, now = Announced(), Announcement(12, NOW), NOW.timestamp()

    announced.hear([twice, Announcement(3, NOW)], now, 0, Counted())
    announced.hear([twice], now + 1, 0, Counted())

    assert announced.images(now + FRESH_S, 0) == 15
    assert announced.images(now + 1 + FRESH_S, 0) == 0
    announced.hear([twice], now + 2 + FRESH_S, 0, Counted())
    assert announced.images(now + 2 + FRESH_S, 0) == 0


def test_an_announcement_that_waited_for_a_scaler_tells_nothing() -> None:
    announced, now = Announced(), NOW.timestamp() + STALE_S + 1

    announced.hear([Announcement(12, NOW)], now, 0, Counted())

    assert announced.images(now, 0) == 0


def test_a_clock_that_jumps_forgets_announcements() -> None:
    announced = Announced()
    announced.hear([Announcement(12, NOW)], NOW.timestamp(), 0, Counted())

    assert announced.images(NOW.timestamp() - 50, 0) == 0


def test_what_the_workers_have_done_is_announced_no_more() -> None:
    announced, now = Announced(), NOW.timestamp()
    announced.hear([Announcement(100, NOW)], now, 1000, Counted())
    announced.hear([Announcement(50, NOW)], now + 1, 1010, Counted())

    assert announced.images(now + 1, 1030) == 120
    assert announced.images(now + 2, 1150) == 0
    assert announced.images(now + 3, 5000) == 0


@pytest.mark.parametrize(
    ("counted_at", "left"), [(-1, 6), (1, 0)], ids=["before they were sent", "after that"]
)
def test_results_of_images_that_were_counted_before_are_none_of_what_is_announced(
    counted_at: float, left: int
) -> None:
    announced, now = Announced(), NOW.timestamp()

    announced.hear([Announcement(6, NOW)], now + 2, 100, Counted(6, now + counted_at))

    assert announced.images(now + 2, 100) == 6
    assert announced.images(now + 2, 106) == left
