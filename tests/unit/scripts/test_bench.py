import ast
import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imagefleet_scripts.bench import __main__ as bench
from imagefleet_scripts.bench import cold, model, worker
from imagefleet_scripts.bench.kit import figures, photographs, tested
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.figures import Reach
from imagefleet_scripts.bench.kit.place import Stored
from imagefleet_scripts.bench.kit.process_tree import Sample, Watch, cpu_between, sample
from imagefleet_scripts.bench.kit.runs import Peak, speed_of
from imagefleet_scripts.bench.kit.starts import Start, start_of


def a_round(**changed: float) -> dict[str, float]:
    """Figures of a round in which everything is reached, but for what is changed."""
    speeds = {"bare": 80, "worker": 70, "worker_0ms": 70, "worker_40ms": 69, "usual_way": 10}
    speeds |= {"usual_way_40ms": 4, "worker_native": 90}
    figures = {f"{name}_images_per_s": float(speed) for name, speed in speeds.items()}
    return {**figures, **{f"{name}_cpu_s": 1 / speed for name, speed in speeds.items()}, **changed}


PEAK = Peak(images_per_s=20, pss_mb=300, rss_sum_mb=320)


# --- the command line


def test_help_names_every_benchmark_with_what_it_measures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        bench.main(["--help"])

    said = capsys.readouterr().out
    assert "worker    The worker over S3 and SQS" in said
    assert {"worker", "model", "cold"} <= bench.benches().keys()


@pytest.mark.parametrize("name", sorted(bench.benches()))
def test_every_benchmark_can_be_started(name: str) -> None:
    module = ast.parse((bench.HERE / f"{name}.py").read_text())

    functions = {each.name for each in module.body if isinstance(each, ast.FunctionDef)}
    assert "main" in functions


def test_an_unknown_benchmark_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(["workers"])

    assert "choose from" in (said := capsys.readouterr().err)
    assert "worker" in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["worker", "--images", "0"], "--images: invalid whole number from 1 value: '0'"),
        (["worker", "--rounds", "few"], "--rounds: invalid whole number from 1 value: 'few'"),
        (["model", "--starts", "-1"], "--starts: invalid whole number from 1 value: '-1'"),
        (["cold", "--json", "/nowhere/at/all.json"], "--json: /nowhere/at/all.json can't be"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)

    assert complaint in capsys.readouterr().err


def test_what_stops_a_benchmark_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0})

    assert bench.main(["worker"]) == 1

    assert capsys.readouterr().err == (
        "scripts/bench worker: needs two cores: one for what is measured, one for everything else\n"
    )


# --- figures


@pytest.mark.parametrize(
    ("value", "kind", "met"),
    [(1.35, "at most", True), (1.36, "at most", False), (6, "at least", True)],
)
def test_a_bound_itself_is_within_reach(value: float, kind: str, met: bool) -> None:
    reach = Reach("CPU", value, kind, 1.35)  # type: ignore[arg-type]

    assert reach.met is met
    assert str(reach).startswith("reached" if met else "NOT reached")


def test_a_ratio_compares_within_rounds() -> None:
    # given a machine that was twice as slow in the second round
    rounds = [{"a": 10.0, "b": 20.0}, {"a": 5.0, "b": 10.0}, {"a": 9.0, "b": 20.0}]

    assert figures.ratio(rounds, "a", "b") == 0.5


def test_speed_is_taken_between_the_first_result_of_a_stretch_and_its_last() -> None:
    # given results every 10 ms and a process that is busy for half of the time
    stretch = [Stored(number, 100 + number / 100) for number in range(101)]
    samples = [Sample(at=99 + tick / 10, cpu_s=tick / 20) for tick in range(40)]

    speed = speed_of(stretch, samples)

    assert speed.images_per_s == pytest.approx(100)
    assert speed.cpu_s == pytest.approx(0.005)


def test_cpu_time_between_samples_is_shared_out() -> None:
    samples = [Sample(10, 1), Sample(12, 2), Sample(14, 6)]

    assert cpu_between(samples, 11, 13) == pytest.approx(2.5)


@pytest.mark.parametrize(("begin", "end"), [(9, 13), (11, 15)])
def test_a_process_that_was_not_watched_throughout_has_no_figure(begin: float, end: float) -> None:
    with pytest.raises(BenchError, match="not watched"):
        cpu_between([Sample(10, 1), Sample(14, 6)], begin, end)


# --- the worker's report


def test_every_promised_figure_is_in_the_summary() -> None:
    summary = worker.summary([a_round(), a_round(), a_round(worker_images_per_s=50)], PEAK)

    assert summary["bare_images_per_s"] == 80
    assert summary["worker_images_per_s"] == 70
    assert summary["worker_40ms_images_per_s"] == 69
    assert summary["usual_way_images_per_s"] == 10
    assert summary["cpu_ratio"] == pytest.approx(80 / 70, rel=1e-3)
    assert summary["times_usual_way"] == 7
    assert summary["times_usual_way_40ms"] == 17.25
    assert summary["peak_mb"] == 300
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize(
    ("changed", "peak_mb", "missed"),
    [
        ({}, 300.0, ""),
        ({"worker_cpu_s": 1.36 / 80}, 300.0, "CPU an image"),
        ({"worker_images_per_s": 59.0, "usual_way_images_per_s": 5.0}, 300.0, "of the bare loop"),
        ({"worker_40ms_images_per_s": 66.0}, 300.0, "40 ms late"),
        ({"usual_way_images_per_s": 12.0}, 300.0, "the usual way"),
        ({}, 401.0, "peak memory"),
    ],
)
def test_the_report_says_what_is_not_reached(
    changed: dict[str, float], peak_mb: float, missed: str
) -> None:
    rounds = [a_round(**changed)]
    summary = worker.summary(rounds, Peak(images_per_s=20, pss_mb=peak_mb, rss_sum_mb=peak_mb))

    report = worker.report(rounds, summary)

    lines = [line for line in report.splitlines() if line.startswith("NOT reached")]
    assert len(lines) == bool(missed)
    assert missed in "".join(lines)
    assert report.count("reached") == 5


def test_a_core_that_others_used_is_no_secret() -> None:
    quiet, busy = [a_round()], [a_round(bare_images_per_s=60.0)]

    assert "NOT quiet" not in worker.report(quiet, worker.summary(quiet, PEAK))
    report = worker.report(busy, worker.summary(busy, PEAK))
    assert "NOT quiet: others took 25 % of the measured core" in report
    assert report.count("no verdict") == 3


# --- the other reports


def test_a_runtime_that_is_missing_says_how_to_get_it() -> None:
    found = {
        "runtimes": [
            {
                "runtime": "openvino",
                "threads": 1,
                "batch_1_ms": 9.9,
                "batch_8_ms": 80.0,
                "load_ms": 150.0,
                "first_answer_ms": 180.0,
                "peak_mb": 140.0,
            }
        ],
        "streams": [{"streams": 2, "threads": 2, "images_per_s": 200.0, "image_ms": 9.4}],
        "starts": {name: {"load_ms": 50.0, "first_answer_ms": 90.0} for name in model.STARTS},
    }

    report = model.report(found)

    assert "not installed: pip install onnxruntime onnx onnxscript" in report
    assert "2 of 1 threads at once" in report


def test_a_start_is_split_by_what_the_worker_said() -> None:
    launched = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    log = 'a warning\n{"event":"the worker is ready","time":"2026-01-02T03:04:06Z","after_s":0.4}\n'

    start = start_of(launched, began=launched + 0.3, stored=launched + 1.1, log=log)

    assert start.total_s == pytest.approx(1.1)
    assert start.engine_s == pytest.approx(0.3)
    assert start.python_s == pytest.approx(0.3)
    assert start.loading_s == 0.4
    assert start.image_s == pytest.approx(0.1)


def test_a_worker_that_never_was_ready_has_no_start() -> None:
    with pytest.raises(BenchError, match="no AWS region"):
        start_of(1, 2, 3, "imagefleet-worker: no AWS region\n")


def test_cold_starts_are_summed_up_and_held_against_their_reach() -> None:
    def starts(*seconds: float) -> list[Start]:
        return [Start(each, 0.3, 0.2, 0.4, 0.1) for each in seconds]

    options = cold._options([])

    summary = cold.summary(
        starts(1.0, 1.1, 3.0), starts(0.9), {"image_mb": 315, "image_gzip_mb": 1}
    )

    assert summary["container_total_s"] == 1.1
    assert summary["container_most_s"] == 3
    assert "\nreached" in cold.report(summary, options)
    assert "\nNOT reached" in cold.report({**summary, "container_total_s": 1.3}, options)


def test_a_compressed_size_is_what_gzip_makes_of_it() -> None:
    data = bytes(range(256)) * 1000

    size = cold.compressed([data[:1000], data[1000:]])

    assert size == pytest.approx(len(gzip.compress(data, 6)), abs=20)


# --- processes and photographs


def test_processes_that_ended_stay_in_the_bill(tmp_path: Path) -> None:
    # given a process whose child was busy for a while and is gone
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    (tmp_path / "parent.py").write_text(
        f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {busy!r}])\n"
        "print('done', flush=True)\ntime.sleep(60)\n"
    )
    log, environment = tmp_path / "log", {"PYTHONPATH": str(tmp_path)}

    with tested.running(None, "parent", environment=environment, log=log) as process:
        with Watch(process, every_s=0.01, memory=True) as watch:
            while "done" not in log.read_text():
                assert watch.alive()
        seen = sample(process.pid)

    assert seen.cpu_s >= 0.3
    assert max(each.pss_mb for each in watch.samples) > 1
    assert not watch.alive()


def test_a_process_that_dies_says_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('the model is missing')")
    log, environment = tmp_path / "log", {"PYTHONPATH": str(tmp_path)}

    def measure() -> None:
        with tested.running(None, "broken", environment=environment, log=log) as process:
            process.wait(30)
            raise BenchError("no results")

    with pytest.raises(BenchError, match=r"(?s)no results; broken ended .*the model is missing"):
        measure()


def test_a_process_gets_the_core_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.sched_getaffinity(0)
    (tmp_path / "where.py").write_text(
        "import json, os\nprint(json.dumps({'cores': sorted(os.sched_getaffinity(0))}))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert tested.answer(min(before), "where") == {"cores": [min(before)]}

    assert os.sched_getaffinity(0) == before


def test_large_photographs_have_twelve_megapixels_and_a_label() -> None:
    large = photographs.large()

    assert "12.00 to 12.00 megapixels" in photographs.sizes(large)
    assert [each.label for each in large] == [each.label for each in photographs.samples()]
