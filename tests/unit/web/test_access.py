"""API keys at work: who is let in, and whose batches are seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefleet_web.keys import make
from imagefleet_web.rights import owners
from web_tier import CHELSEA, Answer, Web, World

ALICE, ALICE_LINE = make("alice")
BOB, BOB_LINE = make("bob")
WRONG, _ = make("alice")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def web(world: World, tmp_path: Path) -> Iterator[Web]:
    """A web process that knows two keys."""
    path = tmp_path / "keys.txt"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n")
    web = Web(world, api_keys_file=str(path))
    yield web
    web.services.close()


def upload(web: Web, key: str) -> str:
    """Upload an image and return its batch."""
    answer = web.upload(("1.jpg", CHELSEA), headers=bearer(key))
    assert answer.status_code == 202
    return str(answer.json["batch"])


def paths(batch: str) -> list[tuple[str, str]]:
    """Return every call that tells or changes something of a batch or its first job."""
    base, job = f"/api/v1/batches/{batch}", f"/api/v1/jobs/{batch}-0001"
    reads = [base, f"{base}/events", f"{base}/results.csv", f"{base}/results.jsonl", job]
    return [("GET", path) for path in [*reads, f"{job}/image"]] + [("DELETE", base)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/api/v1/upload"),
        ("GET", "/api/v1/batches"),
        *paths("019ab2c4-5d6e-7f80-8123-456789abcdef"),
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(WRONG),
        bearer(""),
        {"Authorization": ALICE},
        {"Authorization": f"Basic {ALICE}"},
        {"X-Api-Key": WRONG},
    ],
)
def test_nothing_is_told_without_a_key(
    web: Web, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = web.request(method, path, headers={"Accept": "application/json"} | headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="imagefleet"'
    if path != "/":
        assert answer.json["code"] == "unauthorized"
    assert web.world.store.images == {}


def test_a_key_in_the_url_is_none(web: Web) -> None:
    assert web.get(f"/api/v1/batches?key={ALICE}&api_key={ALICE}").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [bearer(ALICE), {"Authorization": f"bearer  {ALICE}"}, {"X-Api-Key": ALICE}],
)
def test_a_key_is_taken_in_either_header(web: Web, headers: dict[str, str]) -> None:
    assert web.get("/api/v1/batches", headers=headers).json["batches"] == []


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/static/page.js"])
def test_the_page_and_the_health_checks_are_open(web: Web, path: str) -> None:
    assert web.get(path).status_code == 200


def test_every_other_route_needs_a_key(web: Web) -> None:
    opened = {"/", "/healthz", "/readyz", "/static/<path:filename>"}
    opened |= {"/api/v1/openapi.json", "/api/v1/docs"}
    for rule in web.app.url_map.iter_rules():
        path = rule.rule.replace("<batch_id>", "x").replace("<job_id>", "x")
        for method in rule.methods or set():
            if rule.rule not in opened or method not in {"GET", "HEAD", "OPTIONS"}:
                assert web.request(method, path).status_code == 401, (method, path)


def test_whoever_uploaded_a_batch_sees_it(web: Web) -> None:
    batch = upload(web, ALICE)

    assert web.get(f"/api/v1/batches/{batch}", headers=bearer(ALICE)).json["total"] == 1
    answer = web.get(f"/api/v1/jobs/{batch}-0001/image", headers=bearer(ALICE))
    assert answer.data == CHELSEA


def test_a_batch_of_somebody_else_is_answered_like_one_that_is_not_there(
    web: Web, world: World
) -> None:
    batch = upload(web, ALICE)
    world.finish(world.take(1))

    # given an id of Bob's own that was never uploaded
    missing = owners.new_batch("bob")

    def told(answer: Answer, batch: str) -> tuple[int, str, dict[str, str]]:
        headers = {name: value for name, value in answer.headers if name != "Content-Length"}
        return answer.status_code, answer.text.replace(batch, "…"), headers

    for (method, path), (_, other) in zip(paths(batch), paths(missing), strict=True):
        foreign = web.request(method, path, headers=bearer(BOB))
        assert foreign.status_code == 404
        assert told(foreign, batch) == told(
            web.request(method, other, headers=bearer(BOB)), missing
        )
    assert world.store.image_names(batch) == {1: "1.jpg"}


def test_a_deleted_batch_of_somebody_else_is_not_there_either(web: Web) -> None:
    batch = upload(web, ALICE)
    path = f"/api/v1/batches/{batch}"
    assert web.request("DELETE", path, headers=bearer(ALICE)).status_code == 204

    assert web.get(path, headers=bearer(ALICE)).status_code == 410
    assert web.get(path, headers=bearer(BOB)).status_code == 404


def test_each_lists_only_the_own_batches(web: Web) -> None:
    own: dict[str, list[str]] = {ALICE: [], BOB: []}
    for key in [ALICE, BOB, BOB, ALICE, BOB, ALICE, ALICE]:
        own[key].append(upload(web, key))

    for key, batches in own.items():
        listed: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = web.get(f"/api/v1/batches?limit=2{cursor}", headers=bearer(key)).json
            listed += [each["batch"] for each in answer["batches"]]
            cursor = answer["cursor"] and f"&cursor={answer['cursor']}"
        assert listed == batches[::-1]


def test_a_malformed_id_is_told_as_such(web: Web) -> None:
    for path in ("/api/v1/batches/x", "/api/v1/jobs/x"):
        answer = web.get(path, headers=bearer(ALICE))
        assert (answer.status_code, answer.json["code"]) == (400, "bad_id")


def test_what_was_uploaded_without_keys_is_nobodys_once_there_are_some(
    web: Web, world: World
) -> None:
    batch = Web(world).upload(("1.jpg", CHELSEA)).json["batch"]

    for key in (ALICE, BOB):
        assert web.get(f"/api/v1/batches/{batch}", headers=bearer(key)).status_code == 404


def test_ids_stay_uuids_that_sort_by_time_and_differ() -> None:
    ids = [owners.new_batch("alice") for _ in range(1000)]

    assert ids == sorted(set(ids))
    assert all(owners.may_see("alice", each) for each in ids)
    assert not any(owners.may_see("bob", each) for each in ids)


def test_a_log_line_names_whose_key_it_was_and_never_shows_one(
    web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(web, ALICE)
    web.get("/api/v1/batches", headers=bearer(WRONG))

    lines = capsys.readouterr().out
    assert "client=alice" in lines
    assert ALICE not in lines
    assert WRONG not in lines
