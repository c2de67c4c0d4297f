"""Images uploaded to the bucket directly, with forms of ours, and worked on by a real worker."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import requests

from imagefleet_core import keys
from imagefleet_core.errors import ObjectMissing
from imagefleet_core.jobs import JobId
from imagefleet_web.keys import make
from place import Place
from receiver import Receiver
from system import PHOTOGRAPHS, SAMPLES, labels, wait_for
from web_process import WebProcess

pytestmark = pytest.mark.embedded

UPLOADS = "api/v1/uploads"
TIMEOUT_S = 120
ALICE, ALICE_LINE = make("alice")
BOB, BOB_LINE = make("bob")


def ask(web: WebProcess, names: list[str], **options: Any) -> dict[str, Any]:
    """Ask for forms."""
    wanted = {"files": [{"name": name, "type": "image/jpeg"} for name in names]}
    answer = web.request("POST", UPLOADS, json=wanted, **options)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def send(upload: dict[str, Any], image: bytes, **changed: str) -> requests.Response:
    """Upload an image with a form, as any client may."""
    post = upload["post"]
    fields = post["fields"] | changed
    files = {"file": ("chosen.jpg", image)}
    return requests.post(post["url"], data=fields, files=files, timeout=TIMEOUT_S)


def get(web: WebProcess, url: str, **options: Any) -> Any:
    answer = web.get(url.lstrip("/"), timeout=2 * TIMEOUT_S, **options)
    assert answer.ok, answer.text
    return answer.json()


def test_photographs_that_are_uploaded_to_the_bucket_get_their_labels(place: Place) -> None:
    with place.web() as web, place.worker():
        place.await_worker()
        # given forms, one of which is used twice, and one not at all
        names = [path.name for path in PHOTOGRAPHS[:2]]
        told = ask(web, [*names, "Käse ${filename} 猫.jpg", "never.jpg"])
        two, third, absent = told["uploads"][:2], told["uploads"][2], told["uploads"][3]
        for upload, path in zip(two, PHOTOGRAPHS, strict=False):
            assert send(upload, path.read_bytes()).status_code == 204
        assert send(third, (SAMPLES / "chelsea.jpg").read_bytes()).status_code == 204

        # when the client waits for each, as for any other job
        jobs = [get(web, each["url"], params={"wait": TIMEOUT_S}) for each in (*two, third)]

        # then each has its own label, under the name that it was announced with
        expected = labels()
        assert [job["label"] for job in jobs] == [
            *(expected[name] for name in names),
            expected["chelsea.jpg"],
        ]
        assert [job["name"] for job in jobs] == [*names, "Käse -filename- 猫.jpg"]
        assert [job["id"] for job in jobs] == [each["id"] for each in (*two, third)]
        assert web.get(f"{two[0]['url'].lstrip('/')}/image").content == PHOTOGRAPHS[0].read_bytes()
        batch = get(web, told["url"])
        assert (batch["total"], batch["done"], batch["pending"]) == (4, 3, 1)
        assert batch["jobs"][3]["upload_expires_at"] == absent["expires_at"]

        # and a form that is used again changes nothing
        assert send(two[0], (SAMPLES / "coffee.jpg").read_bytes()).status_code == 204
        wait_for(lambda: place.requests.counts().total == 0, TIMEOUT_S)
        assert get(web, two[0]["url"]) == jobs[0]

        # and deleting the batch leaves nothing but its mark
        assert web.request("DELETE", told["url"].lstrip("/")).status_code == 204
        assert place.store.inbox_numbers(told["batch"]) == set()
        assert place.store.read_note(keys.awaited_key(told["batch"])) is None
        assert web.get(two[0]["url"].lstrip("/")).status_code == 410


def test_the_bucket_takes_nothing_but_what_a_form_is_for(place: Place) -> None:
    with place.web(IMAGEFLEET_MAX_FILE_BYTES="100000") as web:
        (upload,) = ask(web, ["cat.jpg"])["uploads"]
        elsewhere = keys.inbox_key(JobId(upload["id"][:36], 2), "cat.jpg")

        refused = [
            send(upload, bytes(100_001)),
            send(upload, b""),
            send(upload, b"x", **{"Content-Type": "text/html"}),
            send(upload, b"x", key=elsewhere),
            send(upload, b"x", acl="public-read"),
        ]

        assert [answer.status_code for answer in refused] == [400, 400, 403, 403, 403]
        assert place.store.inbox_numbers(upload["id"][:36]) == set()
        assert place.queued() == []


def test_a_form_that_expired_is_refused_and_its_job_is_told_as_failed(place: Place) -> None:
    with place.web(IMAGEFLEET_FORM_LIFE_S="1") as web:
        told = ask(web, ["cat.jpg"])
        (upload,) = told["uploads"]

        # when a client waits for a job whose image never comes
        job = get(web, upload["url"], params={"wait": TIMEOUT_S})

        assert (job["status"], job["error"]["code"]) == ("failed", "not_uploaded")
        assert send(upload, b"x").status_code == 403
        assert get(web, told["url"])["failed"] == 1
        assert place.store.result_numbers(told["batch"]) == set()


def test_a_batch_of_forms_is_its_owners(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n")
    alice, bob = ({"Authorization": f"Bearer {key}"} for key in (ALICE, BOB))
    with place.web(IMAGEFLEET_API_KEYS_FILE=str(path)) as web:
        told = ask(web, ["cat.jpg"], headers=alice)
        (upload,) = told["uploads"]
        assert send(upload, (SAMPLES / "chelsea.jpg").read_bytes()).status_code == 204
        (request,) = place.play(1)

        assert str(request.job) == upload["id"]
        assert get(web, upload["url"], headers=alice)["status"] == "done"
        for url in (told["url"], upload["url"], f"{upload['url']}/image"):
            assert web.get(url.lstrip("/"), headers=bob).status_code == 404
            assert web.get(url.lstrip("/"), headers=alice).ok


def test_an_image_that_came_without_a_form_is_shown_and_deleted_with_its_batch(
    place: Place,
) -> None:
    photograph = (SAMPLES / "chelsea.jpg").read_bytes()
    for key in ("inbox/trip/my cat & co.jpg", "inbox/other.jpg"):
        place.store.put_image(key, photograph, "image/jpeg")
    with place.web() as web, place.worker():
        wait_for(lambda: len(get(web, "api/v1/batches")["batches"]) == 2, TIMEOUT_S)
        told = [get(web, each["url"]) for each in get(web, "api/v1/batches")["batches"]]
        ours = next(each for each in told if each["jobs"][0]["name"] == "my cat & co.jpg")
        image = f"{ours['jobs'][0]['url']}/image".lstrip("/")

        assert web.get(image).content == photograph
        assert web.request("DELETE", ours["url"].lstrip("/")).status_code == 204

        assert web.get(image).status_code == 404
    with pytest.raises(ObjectMissing):
        place.store.get_image("inbox/trip/my cat & co.jpg", 1_000_000)
    assert place.store.get_image("inbox/other.jpg", 1_000_000) == photograph


def test_forms_are_asked_for_again_and_called_back(place: Place, tmp_path: Path) -> None:
    secrets = tmp_path / "callbacks.txt"
    secrets.write_text(f"*:whsec_{base64.b64encode(bytes(32)).decode()}\n")
    settings = {
        "IMAGEFLEET_CALLBACK_SECRETS_FILE": str(secrets),
        "IMAGEFLEET_CALLBACK_NETWORKS": "127.0.0.0/8",
        "IMAGEFLEET_CLAIM_S": "2",
    }
    with Receiver() as receiver, place.web(**settings) as web:
        options = {
            "headers": {"Idempotency-Key": "a key"},
            "params": {"callback_url": receiver.url()},
        }
        first, again = (ask(web, ["cat.jpg"], **options) for _ in range(2))
        assert again["batch"] == first["batch"]

        assert send(again["uploads"][0], b"an image").status_code == 204
        place.play(1)

        wait_for(lambda: receiver.received, TIMEOUT_S)
        assert receiver.received[0].headers["webhook-id"] == first["batch"]


def test_an_upload_that_is_announced_twice_is_one_job(place: Place) -> None:
    with place.web() as web:
        told = ask(web, ["cat.jpg"])
        for _ in range(2):
            assert send(told["uploads"][0], b"an image").status_code == 204

        first, again = place.play(2)

        assert (first.job, first.key) == (again.job, again.key)
        assert get(web, told["url"])["total"] == get(web, told["url"])["done"] == 1
