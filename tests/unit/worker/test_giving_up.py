"""A worker beyond help gives back what it holds and ends, so that another takes its place."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imagefleet_worker.health.heartbeat import GIVE_UP_S, STUCK_S
from imagefleet_worker.health.pressure import LOOK_S
from imagefleet_worker.health.streak import LONGEST
from imagefleet_worker.worker import PRESSED_S, Stuck, Worker
from metadata_service import MetadataService
from worker_tier import CURSED, Tier, finish, picture


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return Tier(tmp_path)


def press(worker: Worker, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setattr(worker.pressure, "_short", lambda: reason)


def test_a_worker_that_stays_stuck_gives_back_what_it_holds_and_ends(tier: Tier) -> None:
    # given images that no thread takes
    tier.submit(picture((number, 1, 1)) for number in range(3))
    worker = tier.worker()
    worker.consumer.turn()
    tier.clock.now += STUCK_S + 1
    worker.leases.turn()
    assert worker.beyond_help() == ""
    tier.clock.now += GIVE_UP_S + 1
    assert worker.beyond_help() == "fetching images is stuck"


def test_a_worker_that_can_work_on_no_image_ends_before_it_spoils_them_all(tier: Tier) -> None:
    tier.submit([picture(CURSED)] * (LONGEST + 50))
    tier.clock = time.monotonic  # type: ignore[assignment]
    worker = tier.worker()

    with capture_logs(), pytest.raises(Stuck, match="images in a row could not be worked on"):
        worker.run()

    assert worker.leases.held() == 0
    assert tier.requests.counts().total == LONGEST + 50
    assert tier.reports()[-1].in_flight == 0


def test_under_pressure_a_worker_takes_nothing_and_gives_back_what_it_has_not_begun(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier.submit(picture((number, 1, 1)) for number in range(20))
    worker = tier.worker()
    worker.consumer.turn()
    worker.pipeline.fetching.turn()
    press(worker, monkeypatch, "memory runs short")
    tier.clock.now += LOOK_S

    worker.consumer.turn()
    worker.consumer.turn()

    assert worker.leases.held() == 1
    assert tier.requests.counts().visible == 19

    # and it takes images again when the pressure has passed
    finish(worker)
    press(worker, monkeypatch, "")
    tier.clock.now += LOOK_S
    worker.consumer.turn()
    assert worker.leases.held() == 10


def test_pressure_that_lasts_though_nothing_is_held_ends_the_worker(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tier.worker()
    press(worker, monkeypatch, "disk of /tmp runs short")
    assert worker.beyond_help() == ""

    tier.clock.now += PRESSED_S + 1

    assert worker.beyond_help() == "disk of /tmp runs short"


def test_pressure_keeps_no_idle_worker_alive(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    tier.submit([picture((1, 1, 1))])
    worker = tier.worker(idle_exit_s=60)
    press(worker, monkeypatch, "memory runs short")

    tier.clock.now += 61
    worker.consumer.turn()
    worker.stop_if_idle()

    assert tier.stop.asked


def test_a_notice_of_ec2_drains_the_worker(tier: Tier) -> None:
    tier.submit(picture((number, 1, 1)) for number in range(3))
    tier.clock = time.monotonic  # type: ignore[assignment]
    with MetadataService().running() as service:
        service.interrupt(datetime.now(UTC))
        worker = tier.worker(instance_metadata=service.url)
        running = threading.Thread(target=worker.run, daemon=True)
        running.start()
        running.join(20)

    assert not running.is_alive()
    assert worker.leases.held() == 0
    assert tier.requests.counts().in_flight == 0
    assert not tier.stop.at_once
