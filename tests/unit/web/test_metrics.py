"""What the web tier counts of itself."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from imagefleet_core.jobs import Failure, JobId, Request
from imagefleet_core.replies import encode
from imagefleet_web.counting import metrics, shared_figures
from imagefleet_web.counting.shared_figures import KINDS, LEFT_BEHIND_S, NAME, SharedFigures
from imagefleet_web.keys import make
from imagefleet_web.telling.lookout import FIRST_S, Lookout
from scraped import Scraped, scraped
from served import Served, served
from web_tier import CHELSEA, COFFEE, DEADLINE_S, Web, World, eventually, result_of

UPLOAD = "upload.upload"


def scrape(web: Web, **headers: str) -> Scraped:
    answer = web.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return scraped(answer.text)


def test_the_figures_are_in_the_formats_that_prometheus_reads(web: Web) -> None:
    web.upload(("a.jpg", CHELSEA))

    plain = web.get("/metrics")
    assert plain.content_type.startswith("text/plain; version=0.0.4")
    assert scraped(plain.text).samples

    accept = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"
    newer = web.get("/metrics", headers={"Accept": accept})
    assert newer.content_type.startswith("application/openmetrics-text")
    names = {family.name for family in text_string_to_metric_families(newer.text)}  # type: ignore[no-untyped-call]
    assert "imagefleet_web_uploads" in names


def test_requests_are_counted_by_route_and_never_by_path(web: Web) -> None:
    batch = web.upload(("a.jpg", CHELSEA)).json["batch"]
    for path in (f"/api/v1/batches/{batch}", "/api/v1/batches/x", "/api/v1/batches/x?wait=y"):
        web.get(path)
    web.get("/no/such/path")
    web.request("BREW", "/healthz")
    web.request("DELETE", "/healthz")

    text = web.get("/metrics").text
    figures = scraped(text)
    # by endpoint, method and status
    assert figures.of("imagefleet_web_requests_total") == {
        (UPLOAD, "POST", "202"): 1,
        ("batches.batch", "GET", "200"): 1,
        ("batches.batch", "GET", "400"): 2,
        ("unknown", "GET", "404"): 1,
        ("unknown", "unknown", "405"): 1,
        ("unknown", "DELETE", "405"): 1,
    }
    assert batch not in text
    assert "/no/such" not in text


def test_only_requests_that_do_not_wait_are_timed(web: Web) -> None:
    uploaded = web.upload(("a.jpg", CHELSEA)).json
    web.get(uploaded["url"])
    web.get(uploaded["url"], query_string={"wait": "0.01"})
    web.get(uploaded["url"], headers={"Prefer": "wait=0.01"})
    web.post("/", query_string={"wait": "0.01"}, data=CHELSEA, content_type="image/jpeg")
    web.get(f"{uploaded['url']}/events", buffered=False).close()

    assert scrape(web).of("imagefleet_web_request_duration_seconds_count") == {
        (UPLOAD,): 1,
        ("batches.batch",): 1,
    }


def test_uploads_are_counted_by_what_became_of_them(web: Web, world: World) -> None:
    once = {"Idempotency-Key": "once"}
    web.upload(("a.jpg", CHELSEA), ("b.txt", b"hello"), ("c.jpg", COFFEE), headers=once)
    web.upload(("a.jpg", CHELSEA), ("b.txt", b"hello"), ("c.jpg", COFFEE), headers=once)
    web.upload(("d.txt", b"hello"), ("e.jpg", b""))
    web.upload(path="/")
    world.store.outage.begin("put_image")
    web.upload(("f.jpg", CHELSEA))

    figures = scrape(web)
    assert figures.of("imagefleet_web_uploads_total") == {
        ("accepted",): 1,
        ("replayed",): 1,
        ("refused",): 2,
        ("failed",): 1,
    }
    assert figures.value("imagefleet_web_images_accepted_total") == 2
    assert figures.of("imagefleet_web_images_refused_total") == {
        ("unsupported_format",): 2,
        ("empty_file",): 1,
    }
    sent = 2 * (len(CHELSEA) + len(COFFEE) + 5) + 5 + len(CHELSEA)
    assert figures.value("imagefleet_web_received_bytes_total") == sent


def test_those_who_wait_are_told_while_they_do(world: World) -> None:
    web = Web(world, max_waiting=7)
    asked = web.meanwhile(lambda: web.upload(("a.jpg", CHELSEA), query_string={"wait": "20"}))
    requests = world.take(1)
    eventually(lambda: scrape(web).value("imagefleet_web_waiting_requests") == 1)
    world.finish(requests)
    web.listen()
    assert asked.answer().status_code == 200

    figures = scrape(web)
    assert figures.value("imagefleet_web_waiting_requests") == 0
    assert figures.value("imagefleet_web_seats") == 7


def test_results_are_counted_once_by_what_they_are_and_how_they_came(
    web: Web, world: World
) -> None:
    # given a label, a failure and a result too large for a reply, each told twice
    web.upload(("a.jpg", CHELSEA), ("broken.jpg", CHELSEA), ("huge.jpg", CHELSEA))
    asked = world.take(3)
    world.finish(asked)
    web.listen()
    world.finish(asked)
    web.listen()

    figures = scrape(web)
    # by code, status and way
    assert figures.of("imagefleet_web_results_total") == {
        ("", "done", "reply"): 2,
        ("truncated", "failed", "reply"): 1,
    }
    for name in ("queue_wait", "processing", "answer"):
        assert figures.value(f"imagefleet_web_{name}_seconds_count") == 3


def test_a_result_that_a_look_finds_is_not_counted_again_with_its_reply(
    web: Web, world: World
) -> None:
    uploaded = web.upload(("a.jpg", CHELSEA)).json
    (request,) = world.take(1)
    now = [1000.0]
    lookout = Lookout(web.services.hub, web.services.results, clock=lambda: now[0])
    with web.services.hub.watch(uploaded["batch"], [1]):
        lookout.turn()
        world.finish([request], reply=False)
        now[0] += 2 * FIRST_S
        lookout.turn()
        world.finish([request])
        web.listen()

    assert scrape(web).of("imagefleet_web_results_total") == {("", "done", "look"): 1}


def test_a_result_is_counted_by_the_process_that_took_the_image_alone(world: World) -> None:
    # given an upload to one process, and somebody who waits for it at another one
    web, other = Web(world), Web(world)
    batch = web.upload(("a.jpg", CHELSEA)).json["batch"]
    with other.services.hub.watch(batch, [1]):
        world.finish(world.take(1))
        assert other.services.results.look(batch, [1])
    web.listen()

    assert scrape(web).of("imagefleet_web_results_total") == {("", "done", "reply"): 1}
    assert scrape(other).of("imagefleet_web_results_total") == {}


def test_a_result_of_a_form_is_counted_where_the_form_was_given_out(web: Web, world: World) -> None:
    batch = web.post("/api/v1/uploads").json["batch"]
    world.finish([Request(JobId(batch, 1), "inbox/a", "a.jpg", None, datetime.now(UTC))])

    with web.services.hub.watch(batch, [1]):
        assert web.services.results.look(batch, [1])

    assert scrape(web).of("imagefleet_web_results_total") == {("", "done", "look"): 1}


def test_a_dead_letter_is_counted_by_the_process_that_gives_it_up(world: World) -> None:
    uploaded, janitor = Web(world), Web(world)
    uploaded.upload(("a.jpg", CHELSEA))
    world.dead_letters.send([request.encode() for request in world.take(1)])
    turn = dict(janitor.services.background._turns)["giving up dead letters"]

    turn()
    uploaded.listen()

    counted = scrape(janitor)
    assert counted.of("imagefleet_web_results_total") == {
        ("worker_crashed", "failed", "dead_letter"): 1
    }
    assert counted.value("imagefleet_web_processing_seconds_count") == 0
    assert scrape(uploaded).of("imagefleet_web_results_total") == {}


def test_however_many_codes_there_are_few_series_are_made(web: Web, world: World) -> None:
    web.upload(*[(f"{number}.jpg", CHELSEA) for number in range(100)])
    for number, request in enumerate(world.take(100)):
        failure = Failure(f"code_{number}", "An image function's own.")
        failed = replace(result_of(request), top=(), error=failure)
        world.queues.open(web.services.replies.name).send([encode(failed)])
    replies = world.queues.open(web.services.replies.name)
    while replies.bodies():
        web.listen()

    results = scrape(web).of("imagefleet_web_results_total")
    assert len(results) <= 65
    assert sum(results.values()) == 100
    assert results["other", "failed", "reply"] == 36


def test_calls_to_aws_are_counted_and_failed_ones_apart(web: Web, world: World) -> None:
    web.upload(("a.jpg", CHELSEA), ("b.jpg", CHELSEA))
    world.store.outage.begin("put_image")
    web.upload(("c.jpg", CHELSEA))

    calls = scrape(web).of("imagefleet_web_aws_calls_total")
    assert calls["put_image", "answered"] == 2
    assert calls["put_image", "unavailable"] == 1
    assert calls["send", "answered"] == 1
    assert calls["receive", "answered"] >= 0


def test_the_backlog_is_told_with_when_it_was_known(web: Web, world: World) -> None:
    assert scrape(web).value("imagefleet_web_backlog_timestamp_seconds") == 0
    world.requests.send(["image"] * 5)

    web.upload(("a.jpg", CHELSEA))

    eventually(lambda: scrape(web).value("imagefleet_web_backlog_timestamp_seconds") > 1e9)
    assert scrape(web).value("imagefleet_web_backlog_images") in (5, 6)


def test_replies_that_cannot_be_read_are_counted(web: Web, world: World) -> None:
    world.queues.open(web.services.replies.name).send(["what?", "{}"])

    web.listen()

    assert scrape(web).of("imagefleet_web_replies_dropped_total") == {("unreadable",): 2}


def test_with_keys_the_figures_need_one_and_tell_nobodys_name(world: World, tmp_path: Path) -> None:
    key, line = make("alice")
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{line}\n")
    web = Web(world, api_keys_file=str(keys))
    bearer = {"Authorization": f"Bearer {key}"}
    web.upload(("secret-name.jpg", CHELSEA), headers=bearer)

    assert web.get("/metrics").status_code == 401
    text = web.get("/metrics", headers=bearer).text
    assert scraped(text).value("imagefleet_web_images_accepted_total") == 1
    assert "alice" not in text
    assert "secret-name" not in text


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Served]:
    """A server of two processes."""
    with served(tmp_path / "log", processes=2) as server:
        eventually(lambda: figures_of(server).value("imagefleet_web_processes") == 2)
        yield server


def test_any_process_tells_the_sums_of_all(two: Served) -> None:
    # given uploads until both processes have taken some
    uploads = until_both_have_uploads(two)

    for _ in range(5):
        figures = figures_of(two)
        assert figures.of("imagefleet_web_uploads_total") == {("accepted",): uploads}
        assert figures.value("imagefleet_web_images_accepted_total") == uploads
        assert figures.value("imagefleet_web_seats") == 2000
        assert (
            figures.value(
                "imagefleet_web_request_duration_seconds_bucket", endpoint=UPLOAD, le="+Inf"
            )
            == uploads
        )
        assert figures.value("imagefleet_web_backlog_timestamp_seconds") > 1e9


def test_what_a_process_counted_outlives_it(two: Served) -> None:
    uploads = until_both_have_uploads(two)
    victim, survivor = psutil.Process(two.process.pid).children()

    victim.kill()
    eventually(lambda: len(two.events("replies queue made")) == 3)
    eventually(lambda: figures_of(two).value("imagefleet_web_processes") == 2)

    assert figures_of(two).value("imagefleet_web_images_accepted_total") == uploads
    assert two.upload().status_code == 202
    assert figures_of(two).value("imagefleet_web_images_accepted_total") == uploads + 1
    assert survivor.is_running()


def test_a_server_leaves_no_figures_behind(two: Served) -> None:
    folder = figures_folder(two)
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        f"{kind}_{place}.db" for kind in KINDS for place in (0, 1)
    )

    two.process.send_signal(signal.SIGTERM)

    assert two.process.wait(DEADLINE_S) == 0
    assert not folder.exists()


def test_all_series_there_can_be_have_room_in_the_files(two: Served) -> None:
    # given every route, method and status that a client can cause, some of them made up
    for path in ("", "healthz", "readyz", "metrics", "api/v1/batches", "static/page.js", "x"):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
            requests.request(method, two.url + path, timeout=DEADLINE_S)

    for file in figures_folder(two).iterdir():
        written = file.read_bytes()
        assert len(written) == shared_figures.FILE_BYTES, f"{file.name} has grown"
        assert int.from_bytes(written[:4], "little") < shared_figures.FILE_BYTES / 4


def test_a_process_keeps_its_figures_to_itself_where_the_disk_is_full(
    figures: SharedFigures, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert figures.take_place() == 0
    with monkeypatch.context() as full, capture_logs() as logs:
        full.setattr(Path, "write_bytes", no_space)
        assert figures.take_place() is None

    assert [line["event"] for line in logs] == ["a process keeps its figures to itself"]
    assert figures.take_place() == 1
    assert len(list(figures.folder.iterdir())) == 2 * len(KINDS)


def test_a_place_that_is_left_is_taken_again(figures: SharedFigures) -> None:
    assert [figures.take_place() for _ in range(3)] == [0, 1, 2]
    counted = figures.folder / "counter_1.db"
    counted.write_bytes(b"counted" + bytes(100))

    figures.leave_place(1)

    assert not (figures.folder / "gauge_livesum_1.db").exists()
    assert figures.take_place() == 1
    assert counted.read_bytes().startswith(b"counted")
    assert (figures.folder / "gauge_livesum_1.db").exists()


def test_folders_of_servers_that_were_killed_are_removed(
    figures: SharedFigures, tmp_path: Path
) -> None:
    # given a folder of a server that is alive, one of a dead one, and one just begun
    figures.take_place()
    dead, begun = tmp_path / f"{NAME}dead", tmp_path / f"{NAME}begun"
    for folder in (dead, begun):
        folder.mkdir()
        (folder / "counter_0.db").write_bytes(b"")
    for folder in (figures.folder, dead):
        os.utime(folder, (0, figures.folder.stat().st_mtime - 2 * LEFT_BEHIND_S))

    SharedFigures().take_place()

    assert figures.folder.exists()
    assert begun.exists()
    assert not dead.exists()


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedFigures]:
    """Shared figures in a temporary folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    figures = SharedFigures()
    yield figures
    figures.remove()


def figures_of(server: Served) -> Scraped:
    return scraped(requests.get(f"{server.url}metrics", timeout=DEADLINE_S).text)


def figures_folder(server: Served) -> Path:
    """Return the folder that a server's processes have open files in."""
    worker, *_ = psutil.Process(server.process.pid).children()
    opened = {Path(each.path).parent for each in worker.open_files() if NAME in each.path}
    (folder,) = opened
    return folder


def until_both_have_uploads(server: Served) -> int:
    """Upload until each of two processes has taken some; return how many that were."""
    files = [figures_folder(server) / f"counter_{place}.db" for place in (0, 1)]
    for uploads in range(1, 100):
        answer = requests.post(
            f"{server.url}api/v1/upload", files={"file": CHELSEA}, timeout=DEADLINE_S
        )
        assert answer.status_code == 202
        if all(b'"accepted"' in file.read_bytes() for file in files):
            return uploads
    raise AssertionError("one process took all uploads")


def no_space(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_process_remembers_only_so_many_results_it_has_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "REMEMBERED", 2)
    web = Web(world)
    web.upload(*[(f"{number}.jpg", CHELSEA) for number in range(3)])
    world.finish(world.take(3))
    web.listen()

    assert len(web.services.metrics._heard._kept) == 2
