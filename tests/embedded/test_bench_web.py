"""The benchmark of the web tier, run on a small scale."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from imagefleet_scripts.bench import __main__ as bench
from imagefleet_scripts.bench import web
from imagefleet_scripts.bench.kit import emulated, web_runs

pytestmark = [
    pytest.mark.embedded,
    # The connections of a benchmark end with its process.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_every_part_measures_and_nothing_is_left_running(
    ministack: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": ministack,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
    }.items():
        monkeypatch.setenv(name, value)
    # One emulator for all runs, as starting one takes longer than these few.
    monkeypatch.setattr(emulated, "running", lambda: nullcontext(ministack))
    monkeypatch.setattr(web_runs, "WARM_UP", 8)
    monkeypatch.setattr(web_runs, "CALM_S", 0.2)
    monkeypatch.setattr(web, "WAYS", {"events": "events"})
    file = tmp_path / "figures.json"
    before = psutil.Process().children()
    few = ["--rounds", "1", "--uploads", "10", "--told", "2", "--waiting", "5", "--large", "2"]

    assert bench.main(["web", *few, "--json", str(file)]) == 0

    figures = json.loads(file.read_text())
    assert figures["web_of_usual_way"] > 0
    assert figures["told_events_p50_ms"] > 0
    assert figures["waiting_health_p99_ms"] > 0
    assert figures["streaming_mb_per_s"] > 0
    assert "reached" in capsys.readouterr().out
    assert psutil.Process().children() == before
