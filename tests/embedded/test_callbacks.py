"""Callbacks and quotas of real web processes over an emulator, some of them killed."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from place import Place
from receiver import Answer, Received, Receiver
from system import labels, photographs, wait_for

pytestmark = pytest.mark.embedded

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
CLAIM_S = 2
DEADLINE_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """What makes a web process send callbacks to this machine, too."""
    file = tmp_path / "callbacks.txt"
    file.write_text(f"*:{SECRET}\n")
    return {
        "IMAGEFLEET_CALLBACK_SECRETS_FILE": str(file),
        "IMAGEFLEET_CALLBACK_NETWORKS": "127.0.0.0/8",
        "IMAGEFLEET_CLAIM_S": str(CLAIM_S),
    }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def heard(receiver: Receiver) -> Received:
    """Return what a receiver was told, as soon as it was."""
    wait_for(lambda: receiver.received, DEADLINE_S)
    return receiver.received[-1]


def notes(place: Place) -> list[str]:
    return place.store.note_keys("callbacks/")


def test_a_receiver_is_told_what_a_worker_found(
    place: Place, settings: dict[str, Any], receiver: Receiver
) -> None:
    images = photographs(4)
    with place.web(**settings) as web, place.worker():
        accepted = web.upload(images, params={"callback_url": receiver.url()})
        assert accepted.status_code == 202, accepted.text
        received = heard(receiver)
        wait_for(lambda: not notes(place), DEADLINE_S)
        batch = web.get(accepted.json()["url"][1:]).json()

    told = Webhook(SECRET).verify(received.body, dict(received.headers))
    assert told["data"] == batch
    assert {job["name"]: job["label"] for job in told["data"]["jobs"]} == {
        image.name: labels()[image.name] for image in images
    }
    assert len(receiver.received) == 1


def test_what_a_killed_process_promised_another_one_keeps(
    place: Place, settings: dict[str, Any], receiver: Receiver
) -> None:
    with place.web("one", **settings) as one:
        accepted = one.upload(photographs(3), params={"callback_url": receiver.url()})
        assert accepted.status_code == 202, accepted.text
        one.kill()
    assert len(notes(place)) == 1
    place.play(3, reply=False)

    with place.web("two", **settings):
        received = heard(receiver)
        wait_for(lambda: not notes(place), DEADLINE_S)

    Webhook(SECRET).verify(received.body, dict(received.headers))
    assert received.headers["webhook-id"] == accepted.json()["batch"]
    assert len(receiver.received) == 1


def test_a_try_in_vain_is_made_up_for_by_whoever_lives(
    place: Place, settings: dict[str, Any], receiver: Receiver
) -> None:
    # given a process that is killed after a receiver failed
    receiver.answers.append(Answer(503))
    with place.web("one", **settings) as one:
        accepted = one.upload(photographs(1), params={"callback_url": receiver.url()})
        place.play(1)
        heard(receiver)
        wait_for(lambda: one.events("callback not heard"), DEADLINE_S)
        one.kill()

    with place.web("two", **settings):
        wait_for(lambda: len(receiver.received) == 2, DEADLINE_S)
        wait_for(lambda: not notes(place), DEADLINE_S)

    assert {each.headers["webhook-id"] for each in receiver.received} == {accepted.json()["batch"]}


def test_a_quota_outlives_the_process(place: Place) -> None:
    web = partial(place.web, IMAGEFLEET_MAX_IMAGES_PER_DAY="6")
    if 24 * 3600 - time.time() % (24 * 3600) < 60:
        pytest.skip("the day is about to end")
    with web("one") as one:
        assert one.upload(photographs(4)).status_code == 202
        one.stop()
    with web("two") as two:
        assert two.get("api/v1/usage").json()["images_per_day"]["used"] == 4
        assert two.upload(photographs(2)).status_code == 202
        refused = two.upload(photographs(1))

    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert '"images-per-day";r=0;t=' in refused.headers["RateLimit"]
