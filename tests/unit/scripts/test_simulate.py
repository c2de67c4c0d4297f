import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_scripts.simulate.__main__ import main
from imagefleet_scripts.simulate.cloud import Conditions
from imagefleet_scripts.simulate.policies.imagefleet import Imagefleet
from imagefleet_scripts.simulate.policies.optimum import plan
from imagefleet_scripts.simulate.run import POLICIES, Outcome, configuration, run, trace
from imagefleet_scripts.simulate.table import beats
from imagefleet_scripts.simulate.work import VISIBILITY_S, Work
from imagefleet_scripts.simulate.workloads import Workload, burst, workloads

# On a machine that does other things, too, how long an example takes tells nothing.

BURSTS = ("burst-10", "burst-50", "burst-100")
STREAMS = ("poisson", "spikes", "on-off", "heavy-tailed")
# As bad as a bad day: a tenth of all boots fails, a third of all launches finds no capacity, the
# counts lag by ten seconds, and an instance lives for ten minutes.
ROUGH = Conditions(failed_boots=0.1, no_capacity=0.3, lag_s=10, spot_life_s=600)


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str], Outcome]:
    """What comes of each workload under each policy."""
    made = workloads(1)
    return {
        (name, policy): run(policy, made[name](), Conditions(), 1)
        for name in (*BURSTS, *STREAMS)
        for policy in POLICIES
    }


@pytest.mark.parametrize("workload", BURSTS)
def test_bursts_take_half_the_original_rules_time_at_most(
    outcomes: dict[tuple[str, str], Outcome], workload: str
) -> None:
    ours, original = outcomes[workload, "imagefleet"], outcomes[workload, "original"]

    assert ours.last_result_s <= 0.5 * original.last_result_s


@pytest.mark.parametrize("workload", [*BURSTS, *STREAMS])
def test_no_policy_is_both_faster_and_cheaper(
    outcomes: dict[tuple[str, str], Outcome], workload: str
) -> None:
    ours = outcomes[workload, "imagefleet"]
    others = {policy: outcomes[workload, policy] for policy in POLICIES if policy != "optimum"}

    assert [policy for policy, outcome in others.items() if beats(outcome, ours)] == []
    assert ours.busy_kills == 0


@pytest.mark.parametrize("workload", [*BURSTS, *STREAMS])
def test_time_and_cost_are_near_the_optimums(
    outcomes: dict[tuple[str, str], Outcome], workload: str
) -> None:
    ours, best = outcomes[workload, "imagefleet"], outcomes[workload, "optimum"]

    assert ours.last_result_s <= 1.25 * best.last_result_s
    assert ours.cost_usd <= 1.25 * best.cost_usd


def test_half_an_hour_of_bad_luck_loses_no_image_and_leaves_no_instance() -> None:
    seconds = np.arange(1800.0)
    steady = Workload("soak", np.repeat(seconds, 20), np.full(36_000, 0.1))

    for seed in range(3):
        outcome = run("imagefleet", steady, ROUGH, seed)
        _, sizes = trace("imagefleet", steady, ROUGH, seed)

        assert math.isfinite(outcome.last_result_s)
        assert outcome.last_result_s < 1800 + 300
        assert max(sizes) <= ROUGH.max_workers
        assert sizes[-1] == 0


def test_a_boot_that_fails_is_given_up_and_made_good() -> None:
    first_fails = next(
        seed
        for seed in range(1000)
        if run("imagefleet", burst("one", 1, 1), Conditions(), seed).launched > 1
    )

    outcome = run("imagefleet", burst("one", 1, 1), Conditions(), first_fails)

    assert outcome.last_result_s < 40 * 4
    assert outcome.launched == 2


def test_boots_that_take_longer_than_the_setting_allows_are_found_out_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Three minutes, where the setting is two: before, all of them were given up for ever.
    slow = Conditions(boot_s=180, boot_sigma=0, slow_boots=0, failed_boots=0, no_capacity=0)
    images = burst("burst", 20, 5.0)
    told = replace(configuration(images, slow), boot_s=40)
    monkeypatch.setitem(POLICIES, "imagefleet", lambda _, __: Imagefleet(told))

    outcome = run("imagefleet", images, slow, 1)

    assert outcome.last_result_s < 3 * 180


def test_a_third_of_all_boots_failing_delays_nobody_for_long() -> None:
    # Those of one launch that fail are known together, after those that came: no reason to pause.
    bad, images = Conditions(failed_boots=0.3), burst("burst", 1000, 5.0)

    outcomes = [run("imagefleet", images, bad, seed) for seed in range(8)]

    assert max(outcome.last_result_s for outcome in outcomes) < 295 * 1.25  # of none failing


# The longer an image takes, the more a load that is constant on average comes and goes.
@pytest.mark.parametrize(("service_s", "at_most"), [(0.05, 1), (1.0, 10)])
@pytest.mark.parametrize("lag_s", [0, 30])
def test_a_constant_load_does_not_make_the_fleet_flap(
    service_s: float, at_most: int, lag_s: float
) -> None:
    calm = Conditions(lag_s=lag_s, failed_boots=0, no_capacity=0, slow_boots=0)
    arrivals = np.sort(np.random.default_rng(1).random(int(2.5 / service_s * 1800)) * 1800)
    load = Workload("half a worker to spare of three", arrivals, np.full(len(arrivals), service_s))

    times, sizes = trace("imagefleet", load, calm, 1)

    steady = [size for at, size in zip(times, sizes, strict=True) if 600 < at < 1800]
    launched = sum(max(0, after - before) for before, after in pairwise(steady))
    assert launched <= at_most  # in twenty minutes
    assert max(steady, default=3) <= 6


@pytest.mark.parametrize("name", ["burst-100-wrong-prior", "poisson-wrong-prior"])
def test_a_setting_wrong_by_ten_costs_a_burst_a_boot_and_no_more(name: str) -> None:
    made = workloads(1)
    right, wrong = (
        run("imagefleet", made[each](), Conditions(), 1)
        for each in (name.removesuffix("-wrong-prior"), name)
    )

    assert wrong.last_result_s <= right.last_result_s + 60
    assert wrong.cost_usd <= 1.25 * right.cost_usd


def test_the_same_seed_gives_the_same_outcome() -> None:
    workload = workloads(7)["spikes"]()

    assert run("imagefleet", workload, ROUGH, 7) == run("imagefleet", workload, ROUGH, 7)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 20)), min_size=1, max_size=40),
    st.lists(st.floats(0, 100), min_size=1, max_size=5),
)
def test_workers_take_what_waits_longest_as_soon_as_they_are_free(
    images: list[tuple[float, float]], joined: list[float]
) -> None:
    images.sort()
    arrivals, services = (np.array(each) for each in zip(*images, strict=True))
    work = Work(arrivals, services)
    for worker, at in enumerate(sorted(joined)):
        work.advance(at)
        work.join(worker, at)
    work.advance(1e6)

    free, expected = sorted(joined), []
    for arrival, service in images:
        end = max(free[0], arrival) + service
        free = sorted([*free[1:], end])
        expected.append(end - arrival)
    assert work.waits() == pytest.approx(expected)
    assert work.counts(1e6).done == len(images)


def test_what_a_killed_worker_held_comes_back_when_its_visibility_ends() -> None:
    work = Work(np.zeros(1), np.full(1, 10.0))
    work.join(0, 0)
    work.advance(4)

    work.kill(0, 4)
    work.join(1, 4)
    work.advance(100)

    assert work.busy_kills == 1
    assert work.last_result() == 4 + VISIBILITY_S + 10


def test_a_draining_worker_finishes_what_it_holds_and_takes_no_more() -> None:
    work = Work(np.zeros(2), np.full(2, 10.0))
    work.join(0, 0)
    work.advance(4)

    gone_at = work.drain(0, 4)
    work.advance(100)

    assert gone_at == 10
    counts = work.counts(100)
    assert (counts.visible, counts.in_flight, counts.done) == (1, 0, 1)


def test_the_optimums_plan_meets_every_deadline_with_the_least_work() -> None:
    images = burst("burst", 1000, 0.1)

    workers = plan(images, boot_s=40, target_s=10, most=20)

    assert workers[:40].max() == 0
    assert set(workers[40:50]) == {10}
    assert workers[51:].sum() == 0


def test_the_command_writes_a_row_for_each_workload_and_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.json"

    status = main(
        ["--workload", "burst-1*s", "--seeds", "1", "--processes", "1", "--json", str(path)]
    )

    assert status == 0
    rows = json.loads(path.read_text())
    assert {row["policy"] for row in rows} == {*POLICIES}
    assert {"burst-1-0.02s", "burst-10-1s", "burst-100-0.1s"} <= {row["workload"] for row in rows}
    wanted = {"last_result_s", "p99_wait_s", "instance_s", "cost_usd", "busy_kills", "overshoot"}
    assert all(wanted <= {*row} for row in rows)
    assert "Faster and cheaper than imagefleet: none." in capsys.readouterr().out


def test_a_workload_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--workload", "tsunami"]) == 2
    assert "tsunami" in capsys.readouterr().err
