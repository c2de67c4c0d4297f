"""Errors, and the headers that stand on every answer."""

from __future__ import annotations

import pytest
from flask import abort
from structlog.testing import capture_logs

from imagefleet_core.jobs import new_batch_id
from web_tier import CHELSEA, Web, World


def test_an_unknown_route_is_a_problem_document(web: Web) -> None:
    answer = web.get("/api/v2/upload")

    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert answer.json == {
        "type": "urn:imagefleet:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "Nothing is at /api/v2/upload.",
        "code": "not_found",
    }


UNKNOWN = "019ab2c4-5d6e-7f80-8123-456789abcdef"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/upload"), ("DELETE", "/"), ("POST", f"/api/v1/batches/{UNKNOWN}")],
)
def test_a_wrong_method_says_which_are_right(web: Web, method: str, path: str) -> None:
    answer = web.request(method, path)

    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    for allowed in answer.headers["Allow"].split(", "):
        assert allowed in answer.json["detail"]


def test_any_other_error_of_http_is_a_problem_too(web: Web) -> None:
    web.app.add_url_rule("/teapot", view_func=lambda: abort(418))

    answer = web.get("/teapot")

    assert (answer.status_code, answer.json["code"]) == (418, "http_418")
    assert answer.content_type == "application/problem+json"


def test_a_fault_of_ours_is_logged_in_full_and_tells_nothing_of_itself(
    web: Web, world: World
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    world.store.image_names = fail  # type: ignore[assignment,method-assign]

    with capture_logs() as logs:
        answer = web.get(f"/api/v1/batches/{new_batch_id()}")

    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "secret" not in answer.text
    (logged,) = [line for line in logs if line["log_level"] == "error"]
    assert str(logged["exc_info"]) == "secret"


def test_whoever_wants_text_gets_a_sentence(web: Web) -> None:
    answer = web.get("/api/v1/jobs/1", headers={"Accept": "text/plain"})

    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert answer.text == "'1' is no job id; one is <batch id>-<number>.\n"


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/static/page.css", "/nowhere", "/api/v1/jobs/1"]
)
def test_every_answer_carries_the_security_headers(web: Web, path: str) -> None:
    headers = web.get(path).headers

    policy = dict(
        rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["img-src"] == "'self' blob: data:"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_nothing_but_the_pages_parts_is_kept_by_browsers(web: Web) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["url"]

    for path in (batch, "/", "/healthz", "/nowhere"):
        assert web.get(path).headers["Cache-Control"] == "no-store"
    asset = web.get("/static/page.css")
    assert asset.headers["ETag"]
    assert asset.headers["Cache-Control"] == "no-cache"


def test_every_log_line_of_an_upload_names_its_batch(
    web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = web.upload(("1.jpg", CHELSEA)).json["batch"]
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) >= 2
    assert all(f"batch={batch}" in line for line in lines)

    # and those of the next request do not
    web.get("/healthz")
    assert batch not in capsys.readouterr().out
