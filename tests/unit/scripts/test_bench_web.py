"""The benchmark of the web tier: its arithmetic, and its load against a server that is played."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imagefleet_scripts.bench import __main__ as bench
from imagefleet_scripts.bench import web
from imagefleet_scripts.bench.kit import large_load, upload_load
from imagefleet_scripts.bench.kit.telling import WAYS
from imagefleet_scripts.bench.kit.web_runs import Crowd, Streaming

IMAGE = Path(__file__).parents[3] / "samples/chelsea.jpg"


def a_round(**changed: float) -> web.Figures:
    """Figures of a round in which everything is reached, but for what is changed."""
    figures = {"uploads_per_s": 300.0, "cpu_s": 0.003, "share": 0.99, "p50_s": 0.02, "p99_s": 0.05}
    told = {f"{row}_{name}": value for row in web.ROWS for name, value in figures.items()}
    return {**told, "web_cpu_s": 0.002, "web_idempotent_cpu_s": 0.004, **changed}


TOLD = {web.POLL: [0.012, 0.015], **{way: [0.010, 0.020, 0.030, 0.500] for way in WAYS}}
CROWD = Crowd(150, 190, calm_s=[0.002] * 99 + [0.2], busy_s=[0.01] * 50, told_s=0.05)
LARGE = Streaming(base_mb=100, peak_mb=150, mb_per_s=60)


def test_a_ratio_is_of_uploads_a_cpu_second() -> None:
    # given a machine that was slow in the last round
    rounds = [a_round(), a_round(), a_round(usual_way_cpu_s=0.006, web_cpu_s=0.005)]

    figures = web.summary(rounds, {}, None, None)

    assert figures["web_of_usual_way"] == 1.5
    assert figures["web_idempotent_of_usual_way"] == 0.75
    assert figures["web_uploads_per_s"] == 300


def test_every_promised_figure_is_in_the_summary() -> None:
    figures = web.summary([], TOLD, CROWD, LARGE)

    assert figures["told_plain_p50_ms"] == 20
    assert figures["told_events_p99_ms"] == 500
    assert figures["told_wait_beyond_poll_ms"] == 8
    assert (figures["waiting_mb"], figures["waiting_rss_sum_mb"]) == (150, 190)
    assert figures["waiting_health_p99_ms"] == 2
    assert figures["answering_health_p99_ms"] == 10
    assert (figures["streaming_base_mb"], figures["streaming_more_mb"]) == (100, 50)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([5], 50, 5), ([3, 1, 2], 50, 2), (range(1, 101), 99, 99), (range(1, 101), 100, 100)],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], percent: float, expected: float
) -> None:
    assert web.percentile(values, percent) == expected


def test_the_report_holds_each_figure_against_its_reach() -> None:
    options = web._options([])
    rounds = [a_round()] * 3

    report = web.report(rounds, web.summary(rounds, TOLD, CROWD, LARGE), options)

    verdicts = [line for line in report.splitlines() if "reached " in line]
    assert len(verdicts) == 11
    assert not [line for line in verdicts if line.startswith("NOT")]
    assert "NOT quiet" not in report


@pytest.mark.parametrize(
    ("changed", "crowd", "large", "said"),
    [
        ({"web_cpu_s": 0.004}, CROWD, LARGE, "uploads a CPU second, of the usual way's: 0.75"),
        ({}, Crowd(401, 1, [0], [0], 0), LARGE, "memory, 1000 waiting: 401 MB"),
        ({}, Crowd(1, 1, [0], [0.2], 0), LARGE, "/healthz while they are answered, p99: 200 ms"),
        ({}, CROWD, Streaming(1, 202, 1), "memory beyond the base, 50 uploads of 20 MiB"),
    ],
)
def test_what_is_not_reached_is_said(
    changed: dict[str, float], crowd: Crowd, large: Streaming, said: str
) -> None:
    rounds = [a_round(**changed)]

    report = web.report(rounds, web.summary(rounds, {}, crowd, large), web._options([]))

    (missed,) = [line for line in report.splitlines() if line.startswith("NOT reached")]
    assert said in missed


def test_a_server_that_waited_for_others_has_no_speed_by_the_clock() -> None:
    rounds = [a_round(web_share=0.5)]

    report = web.report(rounds, web.summary(rounds, {}, None, None), web._options([]))

    assert "NOT quiet: the web tier, all features on got 50 % of its core" in report


def test_parts_that_were_not_measured_are_not_told_of() -> None:
    figures = web.summary([], {}, None, LARGE)

    report = web.report([], figures, web._options(["--parts", "streaming"]))

    assert [line for line in report.splitlines() if "memory beyond" in line]
    assert "uploads/s" not in report
    assert "waiting" not in report


def test_an_unknown_part_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(["web", "--parts", "uploads,speed"])

    assert "no such part: speed" in capsys.readouterr().err


class Handler(BaseHTTPRequestHandler):
    """Takes uploads."""

    protocol_version = "HTTP/1.1"
    status = 202
    seen: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((dict(self.headers.items()), body))
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def server(status: int = 202) -> Iterator[tuple[str, type[Handler]]]:
    """Run a server that takes uploads, and give its URL and what it saw."""

    class Own(Handler):
        seen: list[tuple[dict[str, str], bytes]] = []  # noqa: RUF012

    Own.status = status
    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/up?load", Own
        running.shutdown()
        thread.join()


def test_the_load_sends_as_many_uploads_as_asked_each_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with server() as (url, own):
        arguments = ["--url", url, "--image", str(IMAGE), "--key", "imf_key", "--idempotent"]
        assert upload_load.main([*arguments, "--uploads", "20", "--connections", "3"]) == 0

    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() == {"seconds", "uploads_per_s", "cpu_s", "p50_s", "p99_s"}
    assert len({body for _, body in own.seen}) == len(own.seen) == 20
    assert all(IMAGE.read_bytes() in body for _, body in own.seen)
    assert len({headers["Idempotency-Key"] for headers, _ in own.seen}) == 20
    assert {headers["Authorization"] for headers, _ in own.seen} == {"Bearer imf_key"}


def test_the_large_load_sends_whole_images(capsys: pytest.CaptureFixture[str]) -> None:
    with server() as (url, own):
        size = ["--bytes", "1000000", "--uploads", "3"]
        assert large_load.main(["--url", url, "--image", str(IMAGE), "--key", "k", *size]) == 0

    assert json.loads(capsys.readouterr().out)["seconds"] > 0
    assert [len(body) for _, body in own.seen] == [1_000_000] * 3
    assert all(body.startswith(IMAGE.read_bytes()) for _, body in own.seen)


@pytest.mark.parametrize("load", [upload_load, large_load])
def test_a_load_that_is_refused_has_no_figures(load: object) -> None:
    numbers = ["--uploads", "1"]
    numbers += ["--connections", "1"] if load is upload_load else ["--bytes", "50000"]
    with server(status=429) as (url, _), pytest.raises(SystemExit, match="answered 429"):
        load.main(["--url", url, "--image", str(IMAGE), "--key", "k", *numbers])  # type: ignore[attr-defined]
