"""What a page of somebody else, or a file of somebody else, can do through a person's browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefleet_core.jobs import Result
from imagefleet_web.keys import make
from web_tier import CHELSEA, Web, World, form, result_of

OTHER_SITE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example"}
OTHER_PORT = {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}
OLD_BROWSER = {"Origin": "http://other.example"}
SANDBOXED = {"Origin": "null"}


@pytest.fixture
def guarded(world: World, tmp_path: Path) -> Iterator[tuple[Web, str]]:
    """A web process that wants keys, and a key."""
    key, line = make("alice")
    path = tmp_path / "keys.txt"
    path.write_text(f"{line}\n")
    web = Web(world, api_keys_file=str(path))
    yield web, key
    web.services.close()


@pytest.mark.parametrize("path", ["/?wait=0", "/api/v1/upload", "/api/v1/uploads"])
@pytest.mark.parametrize("headers", [OTHER_SITE, OTHER_PORT, OLD_BROWSER, SANDBOXED])
def test_no_other_site_uploads_through_a_browser(
    web: Web, path: str, headers: dict[str, str]
) -> None:
    body, content_type = form([("file", "a.jpg", CHELSEA)])

    answer = web.post(path, data=body, content_type=content_type, headers=headers)

    assert answer.status_code == 403
    assert web.world.queued() == []
    assert web.get("/api/v1/batches").json["batches"] == []


def test_no_other_site_deletes_through_a_browser(web: Web) -> None:
    batch = web.upload(("a.jpg", CHELSEA)).json["batch"]

    answer = web.request("DELETE", f"/api/v1/batches/{batch}", headers=OTHER_SITE)

    assert (answer.status_code, answer.json["code"]) == (403, "cross_site")
    assert web.get(f"/api/v1/batches/{batch}").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
    ],
    ids=["a program", "the page", "a bookmark", "the page in an old browser"],
)
def test_the_page_and_programs_upload(web: Web, headers: dict[str, str]) -> None:
    assert web.upload(("a.jpg", CHELSEA), headers=headers).status_code == 202


def test_a_key_is_proof_enough_wherever_the_program_runs(guarded: tuple[Web, str]) -> None:
    web, key = guarded

    answer = web.upload(
        ("a.jpg", CHELSEA), headers={"Origin": "chrome-extension://abc", "X-Api-Key": key}
    )

    assert answer.status_code == 202


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_no_other_site_is_let_in_and_nothing_is_kept_in_browsers(web: Web, method: str) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}

    answer = web.request(method, "/api/v1/upload", headers=OTHER_SITE | asked)

    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_host_that_a_client_names_stands_in_no_answer(web: Web) -> None:
    batch = web.upload(("a.jpg", CHELSEA)).json["batch"]
    for path in (
        "/api/v1/docs/",
        "/api/v1/openapi.json",
        "/api/v1/batches",
        "/api/v1//batches",
        f"/api/v1/batches/{batch}",
        f"/api/v1/jobs/{batch}-0001",
        f"/api/v1/jobs/{batch}-0001/image",
        "/nowhere",
    ):
        answer = web.get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})

        told = answer.data + str(answer.headers).encode()
        assert b"evil.example" not in told, path


@pytest.mark.parametrize("path", ["/", "/api/v1/docs"])
def test_a_page_names_its_host_to_nobody_but_who_asked_for_it(web: Web, path: str) -> None:
    page = web.get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "worse.example"})

    # in examples for a terminal, which no cache keeps for others
    assert "evil.example" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "worse.example" not in page.text
    assert "<script>alert" not in web.get(path, headers={"Host": '"><script>alert(1)'}).text


POLYGLOTS = {
    "a GIF that is a script": b"GIF89a/*" + CHELSEA[:50] + b"*/=1;alert(1)",
    "a BMP that is a page": b"BM<html><script>alert(1)</script></html>",
    "a picture with a page behind it": CHELSEA + b"<html><script>alert(1)</script></html>",
}


@pytest.mark.parametrize("content", POLYGLOTS.values(), ids=POLYGLOTS)
def test_what_is_a_picture_and_a_page_is_shown_as_a_picture_or_not_at_all(
    web: Web, content: bytes
) -> None:
    answer = web.upload(("page.html", content))
    if answer.status_code != 202:
        return  # refused, which is as well
    image = web.get(f"/api/v1/jobs/{answer.json['jobs'][0]['id']}/image")

    assert str(image.mimetype).startswith("image/")
    assert image.mimetype != "image/svg+xml"
    assert image.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in image.headers["Content-Security-Policy"]
    assert "default-src 'none'" in image.headers["Content-Security-Policy"]


NAMES = [
    "a\r\nSet-Cookie: stolen=1.jpg",
    'a"; filename="other.exe',
    "../../etc/passwd",
    "a\u2028b.jpg",
    "\x1b[2Ja.jpg",
    "a%0d%0aSet-Cookie: x.jpg",
    "<img src=x onerror=alert(1)>.jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_file_name_becomes_a_header_or_a_path(web: Web, name: str) -> None:
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    job = web.upload((quoted, CHELSEA)).json["jobs"][0]

    image = web.get(f"/api/v1/jobs/{job['id']}/image")

    assert image.status_code == 200
    assert "Set-Cookie" not in image.headers
    disposition = image.headers["Content-Disposition"]
    assert disposition.startswith("inline; filename=")
    shown = disposition.partition("filename=")[2]
    assert shown.isascii()
    assert not set(shown) & set('\r\n"/\\<>;')
    assert not set(job["name"]) & set("\r\n/\\\x1b\u2028")


def test_a_label_that_is_a_script_is_told_as_data_everywhere(web: Web) -> None:
    # given a result that a worker wrote whom somebody broke into
    evil = "<script>alert(1)</script>"
    batch = web.upload(("a.jpg", CHELSEA)).json["batch"]
    (request,) = web.world.take(1)
    told = json.loads(result_of(request).encode())
    told["top"] = [{"label": evil, "score": 1}]
    web.world.store.put_result(Result.decode(json.dumps(told)))

    for path, media in {
        f"/api/v1/batches/{batch}": "application/json",
        f"/api/v1/batches/{batch}/results.csv": "text/csv",
        f"/api/v1/batches/{batch}/results.jsonl": "application/jsonl",
        f"/api/v1/batches/{batch}/events": "text/event-stream",
    }.items():
        answer = web.get(path)

        assert evil in answer.text, path
        assert answer.mimetype == media
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_label_of_several_lines_cannot_pose_as_other_results(web: Web) -> None:
    batch = web.upload(("a.jpg", CHELSEA), ("b.jpg", CHELSEA)).json["batch"]
    first, second = web.world.take(2)
    told = json.loads(result_of(first).encode())
    told["top"] = [{"label": "cat\nerror: no\r\nid: 7\u2028dog", "score": 1}]
    web.world.store.put_result(Result.decode(json.dumps(told)))
    web.world.finish([second])

    answer = web.get(f"/api/v1/jobs/{batch}-0001", headers={"Accept": "text/plain"})
    assert len(answer.text.splitlines()) == 1

    events = web.get(f"/api/v1/batches/{batch}/events").text.splitlines()
    assert [line for line in events if line.startswith("id:")] == ["id: 1.0", "id: 2.0"]


def test_a_label_cannot_pose_as_a_line_of_json_lines(web: Web) -> None:
    batch = web.upload(("a.jpg", CHELSEA)).json["batch"]
    (request,) = web.world.take(1)
    told = json.loads(result_of(request).encode())
    evil = 'cat\u2028{"id": "forged"}\u2029\x85\n'
    told["top"] = [{"label": evil, "score": 1}]
    web.world.store.put_result(Result.decode(json.dumps(told)))

    text = web.get(f"/api/v1/batches/{batch}/results.jsonl").text

    (line,) = text.splitlines()  # which knows more ends of lines than JSON does
    assert json.loads(line)["label"] == evil
