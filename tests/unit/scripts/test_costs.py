import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagefleet_scripts.costs import work
from imagefleet_scripts.costs.__main__ import main
from imagefleet_scripts.costs.prices import PRICES
from imagefleet_scripts.costs.table import totals
from imagefleet_scripts.costs.ways import (
    ALARMS,
    MONTH_S,
    WAYS,
    Lines,
    always_on,
    imagefleet,
    imagefleet_spot,
    lambdas,
    sagemaker,
    worker_hours,
)
from imagefleet_scripts.costs.work import Month, core_s, instance_s
from imagefleet_scripts.simulate.cloud import USD_PER_HOUR, Conditions
from imagefleet_scripts.simulate.run import run
from imagefleet_scripts.simulate.workloads import Workload, burst

# As in the benchmark, so that an instance does 66.1 a second and an image takes 15.13 ms of it.
SMALL = 0.273


def cents(amount: float) -> object:
    return pytest.approx(amount, abs=0.006)


def test_two_hyperthreads_do_what_one_core_did() -> None:
    assert 1 / instance_s(SMALL, vcpus=2) == pytest.approx(66.1)
    assert 1 / instance_s(SMALL, vcpus=4) == pytest.approx(132.2)
    assert 1 / instance_s(SMALL, vcpus=1) == pytest.approx(33.05)


def test_a_larger_image_takes_longer_by_its_pixels() -> None:
    # 15.13 ms, and 39.15 ms for 11.727 megapixels more.
    assert core_s(12) == pytest.approx(0.01513 + 0.03915, abs=1e-5)
    assert core_s(0.01) == core_s(SMALL), "what does not lie in pixels is not less"


def test_nothing_costs_what_is_there_at_rest() -> None:
    lines = imagefleet(Month(0, None))

    # 730 h of 0.0416 and 0.005, and 16 GB of 0.08.
    assert lines["web host"] == cents(30.37 + 3.65 + 1.28)
    # 591 calls of SQS an hour, 0.4 for a million; 360 writes of S3, 5 for a million.
    assert lines["at rest: SQS, the lease"] == cents(0.1726 + 1.314)
    assert sum(lines.values()) == cents(35.298 + 1.487 + 0.10 * ALARMS + 0.60)


def test_a_million_in_bursts_costs_what_a_sum_by_hand_says() -> None:
    lines = imagefleet(Month(1_000_000, 100, megabytes=0.5, megapixels=SMALL))

    # 10,000 images take an instance 151 s: 16 of them for 10 s. Each is billed for 24 s of boot,
    # 9.5 s of work and 15 s of waiting, so for the minute: 100 x 16 x 60 s are 26.7 hours.
    assert worker_hours(Month(1_000_000, 100, megapixels=SMALL)) == pytest.approx(26.667, abs=1e-3)
    # An hour: 0.08925, an address at 0.005, 10 GB of disk at 0.08 / 730.
    assert lines["workers"] == cents(26.667 * 0.095346)
    assert lines["S3 requests"] == cents(2 * 5.00 + 0.40)
    assert lines["S3 storage"] == cents(500 * 7 / 30 * 0.023)
    # 0.6 an image, and 2880 in an hour of a worker.
    assert lines["SQS requests"] == cents((600_000 + 26.667 * 2880) * 0.4e-6)
    assert lines["logs"] == cents(1 * 0.53)
    assert lines["answers to clients"] == cents(2 * 0.09)


def test_a_long_burst_is_billed_to_its_end() -> None:
    # 4 million take 20 workers 60514 s / 20 = 3025.7 s each, and 39 s before and after.
    hours = worker_hours(Month(4_000_000, 1, megapixels=SMALL))

    assert hours == pytest.approx(20 * (3025.7 + 39) / 3600, abs=0.01)


def test_spot_makes_only_workers_cheaper() -> None:
    month = Month(1_000_000, 100)
    demand, spot = imagefleet(month), imagefleet_spot(month)

    saved = worker_hours(month) * 0.08925 * 0.47
    assert demand["workers"] - spot["workers"] == cents(saved)
    assert {k: v for k, v in demand.items() if k != "workers"} == {
        k: v for k, v in spot.items() if k != "workers"
    }


def test_one_by_one_a_worker_is_there_for_a_minute_after_each() -> None:
    # One in 263 s: gaps are longer than 60 s with probability exp(-60.015 / 262.8) = 0.7958.
    month = Month(10_000, None, megapixels=SMALL)
    assert worker_hours(month) == pytest.approx(730 * (1 - 0.7958), abs=0.1)
    # Twenty times what one does, and a quarter more: 26 instances all the time.
    stream = Month(round(20 * 66.1 * MONTH_S), None, megapixels=SMALL)
    assert worker_hours(stream) == pytest.approx(26 * 730, rel=0.04)


def test_sagemaker_costs_a_quarter_of_an_hour_after_each_burst() -> None:
    lines = sagemaker(Month(1_000_000, 100, megapixels=SMALL))

    # 151 s of work and 900 s of waiting on one ml.c5.large at 0.102, a hundred times.
    assert lines["instances"] == cents(100 * (151.29 + 900) / 3600 * 0.102)
    assert lines["S3 requests"] == cents(2 * 5.00 + 2 * 0.40)
    assert sum(sagemaker(Month(0, 100)).values()) == cents(0.30)


def test_functions_cost_what_they_run_and_their_starts() -> None:
    lines = lambdas(Month(1_000_000, 100, megapixels=SMALL))

    # 30.26 ms of a vCPU with 1.7275 GB each, and 100 x 1000 starts of 2 s.
    assert lines["functions"] == cents((30_257 + 200_000) * 1.72754 * 0.0000166667)
    assert lines["invocations"] == cents(0.20)


def test_what_is_always_on_is_paid_all_month() -> None:
    assert always_on(Month(0, 100))["workers"] == cents(730 * 0.095346)


@pytest.mark.parametrize("images", [1, 100, 10_000, 100_000])
def test_a_burst_costs_what_the_simulated_scaler_makes_of_it(images: int) -> None:
    outcome = run("imagefleet", burst("burst", images, instance_s(2)), Conditions(), 1)

    simulated_hours = outcome.cost_usd / USD_PER_HOUR
    assert worker_hours(Month(images, 1)) == pytest.approx(simulated_hours, rel=0.15)


@pytest.mark.parametrize("gap_s", [600, 120, 30])
def test_images_one_by_one_cost_no_more_than_reckoned(gap_s: float) -> None:
    arrivals = np.cumsum(np.random.default_rng(1).exponential(gap_s, 400))
    workload = Workload("trickle", arrivals, np.full(400, instance_s(2)))

    outcome = run("imagefleet", workload, Conditions(), 1)

    simulated = outcome.cost_usd / USD_PER_HOUR / (arrivals[-1] / 3600)
    reckoned = worker_hours(Month(round(MONTH_S / gap_s), None)) / 730
    assert 0.97 < reckoned / simulated < 1.4


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("bursts", [1, 100, None])
def test_more_images_never_cost_less(way: Callable[[Month], Lines], bursts: int | None) -> None:
    sizes = [0, 1, 99, 1000, 10**4, 10**5, 10**6, 10**7, 10**8]

    costs = [sum(way(Month(size, bursts)).values()) for size in sizes]

    # Functions that are asked more often start less often; that may save more than it costs.
    assert way is lambdas or costs == sorted(costs)
    assert all(cost >= 0 for cost in costs)


def test_a_table_tells_each_size_and_each_way(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = tmp_path / "costs.json"

    assert main(["--images", "0", "1000000", "--json", str(told)]) == 0

    printed = capsys.readouterr().out
    assert all(way in printed for way in WAYS)
    assert "in 100 bursts" in printed
    assert "one by one" in printed
    months = json.loads(told.read_text())
    assert [month["images"] for month in months] == [0, 1_000_000, 1_000_000]
    one = totals(Month(1_000_000, None))
    assert {way: sum(lines.values()) for way, lines in months[2]["usd"].items()} == one


def test_a_single_size_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--images", "1000000", "--come", "bursts"])

    printed = capsys.readouterr().out
    assert "S3 storage" in printed
    assert "**in all**" in printed


def test_every_price_says_where_it_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--prices"])

    printed = capsys.readouterr().out
    for name, price in PRICES.items():
        assert name in printed
        assert price.source in printed
    assert "0.0000166667" in printed, "not rounded away"


@pytest.mark.parametrize(
    "wrong",
    [["--images", "-1"], ["--images", "many"], ["--megabytes", "0"], ["--megapixels", "nan"]],
)
def test_a_wrong_option_is_named(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)

    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_plot_shows_each_way_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        main(["--images", "0", "--plot", str(tmp_path / name)])

    drawn = (tmp_path / "one.svg").read_text()
    assert all(way in drawn for way in WAYS)
    assert drawn == (tmp_path / "two.svg").read_text()


def test_the_speed_is_the_one_that_the_evaluation_tells() -> None:
    text = Path("docs/evaluation.md").read_text()

    assert f"| the worker over S3 and SQS | {work.IMAGES_PER_S} |" in text


def test_the_operators_table_is_what_the_program_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = Path("docs/operations.md").read_text()

    main([])

    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert "\n".join(table) in text, "./scripts/costs prints another table: put it there"
