"""Uploads with a callback, from the request to a receiver behind a socket."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from clock import Clock
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import JobId, Request
from imagefleet_core.keys import awaited_key
from imagefleet_core.store import Form
from imagefleet_web.callbacks import payload
from imagefleet_web.callbacks.service import Callbacks
from imagefleet_web.keys import make
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.results import Results
from imagefleet_web.uploads.awaited import GRACE_S, Awaited
from receiver import Answer, Received, Receiver
from web_tier import CHELSEA, COFFEE, Web, World, eventually

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
FILES = ("cat.jpg", CHELSEA), ("notes.txt", b"text"), ("broken.jpg", COFFEE)
PUBLIC = "https://receiver.example/hook"
KEY = {"Idempotency-Key": "a key"}


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


@pytest.fixture
def secrets_file(tmp_path: Path) -> Path:
    path = tmp_path / "callbacks.txt"
    path.write_text(f"*:{SECRET}\n")
    return path


@pytest.fixture
def start(world: World, secrets_file: Path) -> Iterator[Callable[..., Web]]:
    """Start web processes that send callbacks, to this machine too."""
    started: list[Web] = []

    def start(**settings: Any) -> Web:
        defaults = {
            "callback_secrets_file": str(secrets_file),
            "callback_networks": "127.0.0.0/8",
        }
        started.append(Web(world, **defaults | settings))
        return started[-1]

    yield start
    for web in started:
        web.services.close()


@pytest.fixture
def calling(start: Callable[..., Web]) -> Web:
    return start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def callbacks(web: Web) -> Callbacks:
    assert web.services.callbacks
    return web.services.callbacks


def upload(web: Web, url: str, *files: tuple[str, bytes], **options: Any) -> Any:
    query = {"callback_url": url, **options.pop("query", {})}
    return web.upload(*(files or FILES), query_string=query, **options)


def finish(web: Web, world: World) -> None:
    """Finish all that is queued, and let the process hear of it and do what is due."""
    world.finish(world.queued())
    web.listen()
    callbacks(web).keeper.step()


def heard(receiver: Receiver, count: int = 1) -> list[Received]:
    eventually(lambda: len(receiver.received) >= count)
    return receiver.received


def notes(world: World) -> list[str]:
    return world.store.note_keys("callbacks/")


def test_a_receiver_is_told_the_batch_in_one_signed_request(
    calling: Web, world: World, receiver: Receiver
) -> None:
    accepted = upload(calling, receiver.url("/hook?a=b"))
    assert accepted.status_code == 202
    batch = accepted.json["batch"]

    finish(calling, world)

    (received,) = heard(receiver)
    assert (received.method, received.path) == ("POST", "/hook?a=b")
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("Imagefleet/")
    assert received.headers["webhook-id"] == batch
    told = Webhook(SECRET).verify(received.body, dict(received.headers))
    assert told["type"] == "batch.finished"
    assert told["data"] == calling.get(accepted.json["url"]).json
    assert [job["status"] for job in told["data"]["jobs"]] == ["done", "failed"]
    assert told["timestamp"] == max(job["finished_at"] for job in told["data"]["jobs"])
    eventually(lambda: notes(world) == [])


def test_the_callback_is_noted_before_anything_is_queued(
    calling: Web, world: World, receiver: Receiver
) -> None:
    world.requests.outage.begin("send", 1)

    failed = upload(calling, receiver.url())

    # then it is there though queueing failed; and as the batch is gone, it is forgotten unsent
    assert failed.status_code == 503
    assert len(notes(world)) == 1
    assert callbacks(calling).keeper.step() > 0
    (held,) = callbacks(calling).keeper._holdings.all()
    held.due = 0
    callbacks(calling).keeper.step()
    assert notes(world) == []
    assert receiver.connections == 0


def test_an_upload_whose_callback_cannot_be_noted_is_not_accepted(
    calling: Web, world: World, receiver: Receiver
) -> None:
    world.store.outage.begin("write_note", 1)

    failed = upload(calling, receiver.url())

    assert (failed.status_code, failed.json["code"]) == (503, "unavailable")
    assert world.queued() == []
    assert world.store.images == {}
    assert upload(calling, receiver.url()).status_code == 202


def test_a_raw_image_may_name_one_too(calling: Web, world: World, receiver: Receiver) -> None:
    accepted = calling.post(
        "/api/v1/upload",
        query_string={"callback_url": receiver.url(), "wait": "0"},
        data=CHELSEA,
        content_type="image/jpeg",
    )
    assert accepted.status_code == 202

    finish(calling, world)

    assert heard(receiver)[0].headers["webhook-id"] == accepted.json["batch"]


def test_who_also_waits_is_answered_as_ever(calling: Web, world: World, receiver: Receiver) -> None:
    waiting = calling.meanwhile(lambda: upload(calling, receiver.url(), query={"wait": "20"}))

    world.finish(world.take(2))
    calling.listen()

    assert waiting.answer().status_code == 200
    callbacks(calling).keeper.step()
    assert len(heard(receiver)) == 1


def test_a_receiver_that_fails_is_told_again_the_same(
    calling: Web, world: World, receiver: Receiver
) -> None:
    receiver.answers.extend([Answer(500), Answer(302, {"Location": "http://169.254.169.254/"})])
    upload(calling, receiver.url())
    keeper = callbacks(calling).keeper
    finish(calling, world)

    for tries in (1, 2):
        heard(receiver, tries)
        eventually(lambda: not keeper._holdings.all()[0].sending)
        (held,) = keeper._holdings.all()
        assert held.note.tries == tries
        held.due = 0
        keeper.step()

    received = heard(receiver, 3)
    assert len({each.headers["webhook-id"] for each in received}) == 1
    assert len({each.body for each in received}) == 1
    eventually(lambda: notes(world) == [])


@pytest.mark.parametrize("status", [400, 404, 410, 500, 301, 199])
def test_only_success_and_gone_end_it(
    calling: Web, world: World, receiver: Receiver, status: int
) -> None:
    receiver.answers.append(Answer(status))
    upload(calling, receiver.url())
    finish(calling, world)
    heard(receiver)
    keeper = callbacks(calling).keeper

    eventually(lambda: not any(held.sending for held in keeper._holdings.all()))

    assert bool(notes(world)) == (status != 410)


def test_a_batch_whose_answers_were_known_calls_back_at_once(
    start: Callable[..., Web], world: World, receiver: Receiver
) -> None:
    web = start(reuse_results=True)
    web.upload(("cat.jpg", CHELSEA))
    finish(web, world)

    answered = upload(web, receiver.url(), ("cat.jpg", CHELSEA))
    callbacks(web).keeper.step()

    assert answered.status_code == 200
    assert len(world.queued()) == 1
    assert heard(receiver)[0].headers["webhook-id"] == answered.json["batch"]


def test_with_the_background_it_goes_by_itself(
    calling: Web, world: World, receiver: Receiver
) -> None:
    calling.services.background.start()
    batches = [upload(calling, receiver.url()).json["batch"] for _ in range(20)]

    world.finish(world.take(40))

    received = heard(receiver, 20)
    assert sorted(each.headers["webhook-id"] for each in received) == sorted(batches)
    eventually(lambda: notes(world) == [])


def test_a_process_that_starts_sends_what_another_left_behind(
    calling: Web, start: Callable[..., Web], world: World, clock: Clock, receiver: Receiver
) -> None:
    batch = upload(calling, receiver.url()).json["batch"]
    calling.services.close()
    world.finish(world.queued(), reply=False)
    later = start(claim_s=1)
    clock.now += 3600  # and longer than it held the note

    later.services.background.start()

    assert heard(receiver)[0].headers["webhook-id"] == batch
    eventually(lambda: notes(world) == [])


def test_deleting_the_batch_forgets_its_callback(
    calling: Web, world: World, receiver: Receiver
) -> None:
    accepted = upload(calling, receiver.url())

    assert calling.request("DELETE", accepted.json["url"]).status_code == 204

    assert notes(world) == []
    finish(calling, world)
    assert receiver.connections == 0


BAD = {
    "nothing": "",
    "no URL": "receiver",
    "another scheme": "file:///etc/passwd",
    "credentials": "https://user:password@receiver.example/",
    "a port of others": "https://receiver.example:25/",
    "the metadata": "http://169.254.169.254/latest/meta-data/",
    "a private address": "https://10.0.0.1/",
    "an address in brackets": "https://[::ffff:127.0.0.1]/",
    "too long": f"https://receiver.example/{'x' * 2000}",
}


@pytest.mark.parametrize("url", BAD.values(), ids=BAD)
def test_what_cannot_be_called_is_refused_before_anything_is_read(
    start: Callable[..., Web], world: World, url: str
) -> None:
    refused = upload(start(callback_networks=""), url)

    assert (refused.status_code, refused.json["code"]) == (400, "bad_callback_url")
    assert "callback_url" in refused.json["detail"]
    assert world.store.images == {}


def test_there_is_one_callback_only(calling: Web) -> None:
    refused = calling.upload(
        *FILES, query_string=[("callback_url", PUBLIC), ("callback_url", PUBLIC)]
    )

    assert (refused.status_code, refused.json["code"]) == (400, "bad_callback_url")


def test_without_secrets_there_are_no_callbacks(web: Web, world: World) -> None:
    refused = upload(web, PUBLIC)

    assert (refused.status_code, refused.json["code"]) == (400, "no_callbacks")
    assert world.store.images == {}
    assert web.upload(*FILES).status_code == 202
    assert "calling back" not in web.services.background._turns


def test_too_many_that_are_outstanding_are_put_off(start: Callable[..., Web]) -> None:
    web = start(max_callbacks=2)
    for _ in range(2):
        assert upload(web, PUBLIC).status_code == 202

    refused = upload(web, PUBLIC)

    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    assert upload(web, "https://another.example/").status_code == 202
    assert web.upload(*FILES).status_code == 202


def test_with_keys_each_owner_has_secrets_of_its_own(
    start: Callable[..., Web],
    world: World,
    receiver: Receiver,
    secrets_file: Path,
    tmp_path: Path,
) -> None:
    keys, lines = zip(*(make(name) for name in ("alice", "bob")), strict=True)
    (tmp_path / "keys.txt").write_text("\n".join(lines))
    secrets_file.write_text(f"alice:{SECRET}\n")
    web = start(api_keys_file=str(tmp_path / "keys.txt"))
    alice, bob = ({"X-Api-Key": key} for key in keys)

    assert upload(web, receiver.url(), headers=alice).status_code == 202
    refused = upload(web, receiver.url(), headers=bob)
    finish(web, world)

    assert (refused.status_code, refused.json["code"]) == (400, "no_callbacks")
    (received,) = heard(receiver)
    Webhook(SECRET).verify(received.body, dict(received.headers))


def test_an_upload_that_is_sent_again_has_one_callback(
    calling: Web, start: Callable[..., Web], world: World, receiver: Receiver
) -> None:
    first = upload(calling, receiver.url(), headers=KEY)
    again = upload(start(), receiver.url(), headers=KEY)
    assert again.json["batch"] == first.json["batch"]

    finish(calling, world)

    assert len(heard(receiver)) == 1
    assert len(world.queued()) == 2


@pytest.mark.parametrize("other", ["", "https://another.example/"])
def test_a_key_is_of_one_callback_too(
    calling: Web, world: World, receiver: Receiver, other: str
) -> None:
    upload(calling, receiver.url(), headers=KEY)

    query = {"callback_url": other} if other else {}
    refused = calling.upload(*FILES, headers=KEY, query_string=query)

    assert (refused.status_code, refused.json["code"]) == (422, "idempotency_key_reused")
    assert "callback_url" in refused.json["detail"]


def test_who_goes_on_with_an_upload_of_a_dead_process_has_its_callback(
    calling: Web,
    start: Callable[..., Web],
    world: World,
    clock: Clock,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first process dies when all is stored, and before anything is queued."""

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.requests, "send", kill)
        with pytest.raises(Killed):
            upload(calling, receiver.url(), headers=KEY)
    clock.now += 3600  # and longer than it held the note

    other = start()
    answer = upload(other, receiver.url(), headers=KEY)
    assert answer.status_code == 202
    world.finish(world.queued())
    other.services.background.start()

    assert [each.headers["webhook-id"] for each in heard(receiver)] == [answer.json["batch"]]


def test_neither_url_nor_secret_is_logged(calling: Web, world: World, receiver: Receiver) -> None:
    receiver.answers.append(Answer(500))
    with capture_logs() as logs:
        upload(calling, receiver.url("/hook/very-secret?token=hidden"))
        upload(calling, "https://user:hidden@receiver.example/")
        finish(calling, world)
        heard(receiver)
        eventually(lambda: any(line["event"] == "callback not heard" for line in logs))

    told = json.dumps(logs, default=str)
    assert "very-secret" not in told
    assert "hidden" not in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"callback_networks": "10.0.0.0/33"}, "IMAGEFLEET_CALLBACK_NETWORKS"),
        ({"callback_secrets_file": "/nonexistent/secrets"}, "/nonexistent/secrets"),
    ],
)
def test_what_is_set_wrongly_is_told_at_the_start(
    world: World, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(ImagefleetError, match=named):
        Web(world, **settings)


# What is told


def results(world: World, images: int, name: str = "cat.jpg") -> tuple[str, Results]:
    """Upload images, finish them, and return the batch and who reads its results."""
    web = Web(world)
    batch = web.upload(*[(name, CHELSEA)] * images).json["batch"]
    world.finish(world.queued())
    web.services.close()
    return batch, Results(Hub(), world.store, ThreadPoolExecutor(4))


def test_jobs_are_left_out_where_they_take_too_much(world: World) -> None:
    batch, reading = results(world, 40)
    whole = payload.of(batch, reading.in_pieces(batch))
    limit = len(whole) - 500

    told = json.loads(payload.of(batch, reading.in_pieces(batch), limit))["data"]

    assert len(json.loads(whole)["data"]["jobs"]) == 40
    assert told == {
        "batch": batch,
        "url": f"/api/v1/batches/{batch}",
        "total": 40,
        "done": 40,
        "failed": 0,
        "pending": 0,
        "jobs": None,
    }


def test_whatever_the_outputs_the_body_stays_within_its_limit(world: World) -> None:
    batch, reading = results(world, 9, "huge.jpg")

    body = payload.of(batch, reading.in_pieces(batch))

    assert len(body) < payload.MOST_BYTES + 1000
    assert json.loads(body)["data"]["jobs"] is None
    assert json.loads(body)["data"]["total"] == 9


def test_jobs_stand_in_the_order_of_their_numbers(world: World) -> None:
    batch, reading = results(world, 40)

    told = json.loads(payload.of(batch, reading.in_pieces(batch)))

    numbers = [JobId.parse(job["id"]).number for job in told["data"]["jobs"]]
    assert numbers == list(range(1, 41))


def forms(web: Web, url: str, count: int = 2, **options: Any) -> Any:
    """Ask for forms, with a callback."""
    query = {"callback_url": url}
    files = [{"name": f"{number}.jpg"} for number in range(1, count + 1)]
    return web.post("/api/v1/uploads", json={"files": files}, query_string=query, **options)


def post(world: World, upload: Any) -> Request:
    """Upload with a form, and return the request that S3's event for it is."""
    form = Form(**upload["post"])
    assert world.store.post(form, CHELSEA)
    record = {
        "eventTime": "2026-01-31T12:00:00.000Z",
        "s3": {"object": {"key": form.fields["key"]}},
    }
    (request,) = decode_requests(json.dumps({"Records": [record]}))
    return request


def look(web: Web) -> None:
    """Let the process look now for what it holds callbacks of."""
    for held in callbacks(web).keeper._holdings.all():
        held.due = 0
    callbacks(web).keeper.step()
    callbacks(web).keeper.step()


def test_images_that_are_uploaded_to_the_bucket_call_back_too(
    calling: Web, world: World, receiver: Receiver
) -> None:
    answer = forms(calling, receiver.url())
    assert answer.status_code == 201
    first, second = answer.json["uploads"]

    world.finish([post(world, first)])
    look(calling)
    assert receiver.connections == 0
    world.finish([post(world, second)])
    look(calling)

    (received,) = heard(receiver)
    told = Webhook(SECRET).verify(received.body, dict(received.headers))
    assert told["data"] == calling.get(answer.json["url"]).json
    assert told["data"]["done"] == 2
    eventually(lambda: notes(world) == [])


def test_images_that_never_come_are_told_once_their_forms_expired(
    calling: Web, world: World, receiver: Receiver
) -> None:
    answer = forms(calling, receiver.url())
    world.finish([post(world, answer.json["uploads"][0])])
    key = awaited_key(answer.json["batch"])
    noted = Awaited.decode(world.store.results[key])
    past = datetime.now(UTC) - timedelta(seconds=GRACE_S + 1)
    world.store.results[key] = Awaited(noted.names, past).encode()

    look(calling)

    data = json.loads(heard(receiver)[0].body)["data"]
    assert (data["done"], data["failed"]) == (1, 1)
    assert data["jobs"][1]["error"]["code"] == "not_uploaded"


def test_images_that_are_uploaded_to_the_bucket_are_looked_for_while_their_forms_are_good(
    calling: Web, receiver: Receiver
) -> None:
    settings = calling.services.settings

    forms(calling, receiver.url())

    (held,) = callbacks(calling).keeper._holdings.all()
    assert held.often_until - held.written_at == pytest.approx(2 * settings.form_life_s)
    look(calling)
    (held,) = callbacks(calling).keeper._holdings.all()
    assert held.look_s == settings.claim_s / 2


def test_forms_whose_callback_cannot_be_noted_are_not_given_out(
    calling: Web, world: World, receiver: Receiver
) -> None:
    world.store.outage.begin("write_note", 1)

    failed = forms(calling, receiver.url())

    assert (failed.status_code, failed.json["code"]) == (503, "unavailable")
    assert world.store.results == {}
    assert forms(calling, receiver.url()).status_code == 201


def test_forms_that_are_asked_for_again_have_one_callback(
    calling: Web, start: Callable[..., Web], world: World, receiver: Receiver
) -> None:
    first = forms(calling, receiver.url(), 1, headers=KEY)
    again = forms(start(), receiver.url(), 1, headers=KEY)
    other = forms(calling, PUBLIC, 1, headers=KEY)

    assert again.json["batch"] == first.json["batch"]
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    world.finish([post(world, again.json["uploads"][0])])
    look(calling)
    assert len(heard(receiver)) == 1
    eventually(lambda: notes(world) == [])


@pytest.mark.parametrize("path", ["/", "/api/v1/upload", "/api/v1/uploads"])
def test_no_way_to_upload_ignores_a_callback(
    web: Web, start: Callable[..., Web], world: World, path: str
) -> None:
    def ask(web: Web, url: str) -> Any:
        images = {"data": CHELSEA, "content_type": "image/jpeg"}
        options: Any = {"json": {}} if path == "/api/v1/uploads" else images
        headers = {"Accept": "application/json"}
        return web.post(path, query_string={"callback_url": url}, headers=headers, **options)

    refused, bad = ask(web, PUBLIC), ask(start(callback_networks=""), "http://10.0.0.1/")

    assert (refused.status_code, bad.status_code) == (400, 400)
    assert "No callbacks are sent here" in refused.text
    assert "no callback may go to 10.0.0.1" in bad.text
    assert world.store.images == world.store.results == {}


def test_one_image_calls_back_too(calling: Web, world: World, receiver: Receiver) -> None:
    query = {"callback_url": receiver.url(), "wait": "0"}
    answer = calling.upload(("cat.jpg", CHELSEA), path="/", query_string=query)
    assert answer.status_code == 504

    finish(calling, world)

    (request,) = world.queued()
    assert heard(receiver)[0].headers["webhook-id"] == request.job.batch
