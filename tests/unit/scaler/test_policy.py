import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_scaler.policy import (
    SUPPLY,
    Decision,
    Memory,
    Observation,
    Phase,
    PolicyConfig,
    Worker,
    decide,
)
from imagefleet_scaler.policy.arrivals import WINDOW_S, WINDOWS, Arrivals
from imagefleet_scaler.policy.peaks import Peaks

# On a machine that does other things, too, how long an example takes tells nothing.

NOW = 1_800_000_000.0
# As on a laptop: a worker is there in a second and costs nothing.
LAPTOP = PolicyConfig(boot_s=1, scale_in_after_s=60)
# As on AWS: a boot of 40 s, counts that lag by a minute, a minute billed at least.
CLOUD = PolicyConfig(boot_s=40, counts_lag_s=60, billed_s=60, scale_in_after_s=10)
PAID = replace(CLOUD, worker_usd_per_hour=0.36)


def workers(age_s: float = 1000, **counts: int) -> tuple[Worker, ...]:
    """Workers by phase, `workers(idle=2, busy=1)`; within a phase the first is the oldest."""
    return tuple(
        Worker(f"{phase}-{number}", Phase(phase), NOW - age_s + number / 1000)
        for phase, count in counts.items()
        for number in range(1, count + 1)
    )


def watched(
    *peaks: tuple[float, int], for_s: float = 600, empty_s: float | None = None, **more: Any
) -> Memory:
    """Memory of needs `(seconds ago, workers)`, watched for so long."""
    falling = tuple((NOW - ago, need) for ago, need in peaks) or ((NOW - 2, 0),)
    empty_since = None if empty_s is None else NOW - empty_s
    return Memory(Peaks(NOW - for_s, falling), empty_since=empty_since, at=NOW - 2, **more)


QUIET = watched(empty_s=300)


def coming(per_s: float) -> Arrivals:
    """Images that have kept coming at a rate."""
    marks = tuple(
        (NOW - WINDOW_S * back, int(1e6 - per_s * WINDOW_S * back))
        for back in range(WINDOWS, -1, -1)
    )
    return Arrivals(marks, marks[-1])


def observe(
    waiting: int = 0, fleet: tuple[Worker, ...] = (), memory: Memory = QUIET, **more: Any
) -> Observation:
    return Observation(waiting, workers=fleet, memory=memory, **more)


@dataclass(frozen=True)
class Case:
    """An observation and what should come of it."""

    name: str
    observation: Observation
    launch: int = 0
    retire: tuple[str, ...] = ()
    why: str = ""
    capped: str = ""
    config: PolicyConfig = field(default=LAPTOP)


def on_aws(name: str, observation: Observation, **more: Any) -> Case:
    return Case(name, observation, **{"config": CLOUD, **more})


DEMAND = [
    Case(
        "nothing waits and nobody is there",
        observe(),
        why="nothing waits, and 0 workers should be there",
    ),
    Case(
        "one image starts one worker",
        observe(1),
        launch=1,
        why="answering 1 image within 10 s of a boot of 1 s, at 0.1 s an image, takes 1 worker; "
        "0 are there",
    ),
    Case("images held by a worker that died need one too", observe(in_flight=1), launch=1),
    Case("delayed images count", observe(delayed=1), launch=1),
    Case("what was announced counts before the queue tells", observe(announced=1000), launch=10),
    Case(
        "what was announced counts no more once somebody works",
        observe(10, workers(busy=1), announced=1000),
    ),
    Case("a backlog of exactly one worker's ten seconds", observe(100), launch=1),
    Case("a fifth of a worker is not worth a launch", observe(120), launch=1),
    Case("more than that is", observe(121), launch=2),
    Case("a burst launches all it needs at once", observe(1000), launch=10),
    Case("what was measured counts", observe(100, service_s=1.0, measured=1000), launch=10),
    Case(
        "one odd image does not decide alone",
        observe(100, service_s=6.1, measured=1),
        launch=11,
        why="answering 100 images within 10 s of a boot of 1 s, at 1.1 s an image, takes 11 "
        "workers; 0 are there",
    ),
    Case(
        "a worker that does four at once counts for four",
        observe(1000),
        launch=3,
        config=replace(LAPTOP, slots=4),
    ),
    Case("no more workers than images", observe(3, service_s=60, measured=1000), launch=3),
    on_aws(
        "the age of the oldest shortens the target",
        observe(100, oldest_s=100),
        launch=2,
        why="answering 100 images within 10 s of a boot of 40 s, at 0.1 s an image, takes 2 "
        "workers, as one has waited for 100 s; 0 are there",
    ),
    on_aws("an age within the promise changes nothing", observe(100, oldest_s=50), launch=1),
]

SUPPLIES = [
    on_aws(
        "booting workers count, so nothing is launched twice", observe(1000, workers(5, booting=10))
    ),
    on_aws("what is missing beside those who boot", observe(1000, workers(0, booting=7)), launch=3),
    on_aws(
        "those who are nearly there do more of it",
        observe(1000, workers(30, booting=3)),
        # Three do 40 s of work each by the time a new one has done its 10.
    ),
    on_aws(
        "a worker that would boot too late to help is not launched",
        observe(4000, workers(busy=10)),  # done in 40 s
        why="4000 images wait for as many workers as are there, 10",
    ),
    on_aws(
        "one that helps is",
        observe(8000, workers(busy=10)),
        launch=10,
        why="",
        capped="at most 20 are allowed",
    ),
    on_aws("a learned boot time counts", observe(1000, workers(busy=1), boot_s=5), launch=9),
    on_aws(
        "a boot that is overdue is not counted on at once",
        observe(1000, workers(100, booting=10)),
        launch=0,
    ),
    Case(
        "draining workers are no supply, but take up room",
        observe(10_000, workers(busy=10, draining=4)),
        launch=6,
        why="answering 10000 images within 10 s of a boot of 1 s, at 0.1 s an image, takes 99 "
        "workers; 10 are there, and at most 20 are allowed",
        capped="at most 20 are allowed",
    ),
    Case(
        "lost workers are replaced and retired at once",
        observe(1, workers(lost=1)),
        launch=1,
        retire=("lost-1",),
    ),
    Case("lost workers go though nothing waits", observe(0, workers(lost=1)), retire=("lost-1",)),
]

STREAMS = [
    on_aws(
        "what keeps coming is kept up with",
        observe(10, workers(busy=4), memory=watched((2, 4), arrivals=coming(50))),
        launch=2,  # five to keep up, and what piles up while a new one boots
    ),
    on_aws(
        "what keeps coming holds its workers though nothing waits at this moment",
        observe(0, workers(idle=5), memory=watched((2, 5), arrivals=coming(50))),
    ),
    on_aws(
        "and a spare one for as long as it would take to have it back",
        observe(5, workers(idle=1, busy=5), memory=watched((30, 6), arrivals=coming(50))),
    ),
    on_aws(
        "but no longer",
        observe(5, workers(idle=1, busy=5), memory=watched((41, 6), (2, 5), arrivals=coming(50))),
        retire=("idle-1",),
    ),
]

SCALE_IN = [
    Case(
        "idle workers stay while the quiet is young",
        observe(0, workers(idle=3), watched(for_s=59, empty_s=59)),
        why="3 workers for a need of 0: idle ones may go once it has held and their paid time "
        "is over",
    ),
    Case(
        "idle workers go after a quiet minute",
        observe(0, workers(idle=3)),
        retire=("idle-1", "idle-2", "idle-3"),
        why="3 workers for a need of 0, and no more for 60 s: idle ones may go",
    ),
    Case("a scaler just started retires nobody", observe(0, workers(idle=3), Memory())),
    Case(
        "the fleet shrinks to the last minute's peak only",
        observe(0, workers(idle=8), watched((30, 5), (2, 0), empty_s=2)),
        retire=("idle-1", "idle-2", "idle-3"),
    ),
    Case(
        "busy, booting and draining workers are no victims",
        observe(0, workers(busy=2, booting=1, draining=1)),
    ),
    Case(
        "of more than is needed only idle ones go, the oldest first",
        observe(1, workers(busy=1, idle=3), watched((2, 1))),
        retire=("idle-1", "idle-2", "idle-3"),
    ),
    on_aws(
        "time that is paid for is used",
        observe(0, workers(50, idle=2), watched(empty_s=300, sent_at=NOW - 300)),
    ),
    on_aws(
        "and no second more is paid",
        observe(0, workers(57, idle=2), watched(empty_s=300, sent_at=NOW - 300)),
        retire=("idle-1", "idle-2"),
    ),
    on_aws(
        "the last worker stays while zeros may be the lag of the counts",
        observe(0, workers(idle=2), watched(empty_s=58, sent_at=NOW - 58)),
        retire=("idle-1",),
    ),
    on_aws(
        "it goes once they have lasted longer than the lag",
        observe(0, workers(idle=1), watched(empty_s=61, sent_at=NOW - 1)),
        retire=("idle-1",),
    ),
    on_aws(
        "or once nothing was sent for that long",
        observe(0, workers(idle=1), watched(empty_s=10, sent_at=NOW - 61)),
        retire=("idle-1",),
    ),
    on_aws(
        "but not at the first zero",
        observe(0, workers(idle=1), watched(empty_s=9, sent_at=NOW - 61)),
        why="1 worker for a need of 0: the last one goes once nothing waits for sure",
    ),
    on_aws(
        "where nobody knows what was sent the zeros have to last",
        observe(0, workers(idle=1), watched(empty_s=59)),
    ),
]

BOUNDS = [
    Case(
        "the cap holds and is said aloud",
        observe(10_000),
        launch=20,
        why="answering 10000 images within 10 s of a boot of 1 s, at 0.1 s an image, takes 100 "
        "workers; 0 are there, and at most 20 are allowed",
        capped="at most 20 are allowed",
    ),
    Case(
        "it is said as long as it binds",
        observe(10_000, workers(busy=20)),
        why="10000 images wait for as many workers as are there, 20; at most 20 are allowed",
        capped="at most 20 are allowed",
    ),
    Case(
        "a minimum is kept while nothing waits",
        observe(),
        launch=2,
        why="at least 2 workers should be there; 0 are there",
        config=replace(LAPTOP, min_workers=2),
    ),
    Case(
        "the fleet shrinks to the minimum",
        observe(0, workers(idle=3)),
        retire=("idle-1",),
        config=replace(LAPTOP, min_workers=2),
    ),
    Case(
        "a lowered cap is reached through idle workers",
        observe(10_000, workers(busy=3, idle=2)),
        retire=("idle-1",),
        capped="at most 4 are allowed",
        config=replace(LAPTOP, max_workers=4),
    ),
    Case(
        "a pace of launches holds",
        observe(10_000, memory=replace(QUIET, launches=(NOW - 59, NOW - 1))),
        launch=3,
        capped="at most 5 may be launched in a minute",
        config=replace(LAPTOP, launches_a_minute=5),
    ),
    Case(
        "launches of more than a minute ago are forgotten",
        observe(10_000, memory=replace(QUIET, launches=(NOW - 61, NOW - 60))),
        launch=5,
        capped="at most 5 may be launched in a minute",
        config=replace(LAPTOP, launches_a_minute=5),
    ),
    on_aws(
        "the hour's money caps the fleet",
        observe(10_000),
        launch=5,
        capped="$1.8 an hour pay for 5",
        config=replace(PAID, max_usd_per_hour=1.8),
    ),
    on_aws(
        "the day's money caps what may still be paid for a minute each",
        observe(10_000, memory=replace(QUIET, spent_day=int(NOW // 86_400), spent_usd=0.98)),
        launch=3,
        capped="$0.98 of the day's $1 are spent, which leaves enough for 3",
        config=replace(PAID, max_usd_per_day=1),
    ),
    on_aws(
        "once the day's money is spent busy workers drain, too",
        observe(
            10_000,
            workers(busy=2),
            replace(QUIET, spent_day=int(NOW // 86_400), spent_usd=1.0),
        ),
        retire=("busy-1", "busy-2"),
        why="$1.00 of the day's $1 are spent, which leaves enough for 0: 2 workers must go, and "
        "none comes before midnight UTC",
        capped="$1.00 of the day's $1 are spent, which leaves enough for 0",
        config=replace(PAID, max_usd_per_day=1),
    ),
    on_aws(
        "yesterday's money is forgotten",
        observe(100, memory=replace(QUIET, spent_day=int(NOW // 86_400) - 1, spent_usd=1.0)),
        launch=1,
        config=replace(PAID, max_usd_per_day=1),
    ),
]

FAILING = [
    Case(
        "two failed boots may be bad luck", observe(1000, failed_boots=2, failed_at=NOW), launch=10
    ),
    Case(
        "after the third it waits",
        observe(1000, failed_boots=3, failed_at=NOW - 5),
        capped="the last 3 launches came to nothing: the next is tried in 10 s",
    ),
    Case(
        "and tries one",
        observe(1000, failed_boots=3, failed_at=NOW - 15),
        launch=1,
        capped="the last 3 launches came to nothing: one is tried at a time",
    ),
    Case(
        "and no other while that one boots",
        observe(1000, workers(0, booting=1), failed_boots=3, failed_at=NOW - 16),
        capped="the last 3 launches came to nothing: one is tried at a time",
    ),
    Case(
        "and waits ever longer, up to a quarter of an hour",
        observe(1000, failed_boots=30, failed_at=NOW - 899),
        capped="the last 30 launches came to nothing: the next is tried in 1 s",
    ),
    Case("once one came to work all is well", observe(1000, workers(busy=1)), launch=9),
]

LIFETIME = replace(CLOUD, lifetime_s=900)
LIVES = [
    Case(
        "a worker of old age is replaced before it goes",
        observe(1000, (*workers(busy=10),)),
        launch=1,
        config=LIFETIME,
    ),
    Case(
        "it stays while its replacement boots",
        observe(100, (*workers(busy=1), *workers(10, booting=1)), watched((2, 1))),
        config=LIFETIME,
    ),
    Case(
        "it drains once its replacement is at work",
        observe(100, (*workers(busy=1), *workers(60, idle=1)), watched((2, 1))),
        retire=("busy-1",),
        why="1 worker reached the end of life and is replaced",
        config=LIFETIME,
    ),
    Case(
        "one of older parts is replaced, too, whatever its age",
        observe(1000, tuple(replace(each, outdated=True) for each in workers(busy=10))),
        launch=1,
        config=CLOUD,
    ),
    Case(
        "and goes first where fewer are needed",
        observe(
            0,
            (*workers(idle=2), replace(workers(500, idle=1)[0], id="outdated", outdated=True)),
            watched((2, 2)),
        ),
        retire=("outdated",),
    ),
    Case(
        "a few at a time",
        observe(2000, (*workers(busy=20), *workers(60, idle=5)), watched((2, 20))),
        retire=("idle-1", "idle-2", "busy-1", "busy-2", "busy-3"),
        config=replace(LIFETIME, max_workers=30),
    ),
    Case(
        "where there is no room for one more it goes first",
        observe(100_000, workers(busy=20), watched((2, 20))),
        retire=("busy-1", "busy-2"),
        capped="at most 20 are allowed",
        config=LIFETIME,
    ),
]


def cap_of(capped: str) -> str:
    """Return the kind of cap that a sentence is about."""
    if not capped:
        return ""
    if "launch" in capped:
        return "launches"
    return "money" if capped.startswith("$") else "workers"


@pytest.mark.parametrize(
    "case",
    [*DEMAND, *SUPPLIES, *STREAMS, *SCALE_IN, *BOUNDS, *FAILING, *LIVES],
    ids=lambda case: case.name,
)
def test_the_policy_decides(case: Case) -> None:
    decision = decide(case.observation, case.config, NOW)

    assert (decision.launch, decision.retire) == (case.launch, case.retire), decision.why
    assert decision.capped == case.capped
    assert decision.cap == cap_of(case.capped)
    if case.why:
        assert decision.why == case.why


configs = st.builds(
    lambda low, more, **settings: PolicyConfig(min_workers=low, max_workers=low + more, **settings),
    st.integers(0, 5),
    st.integers(1, 30),
    target_s=st.floats(0.1, 600),
    service_s=st.floats(0.001, 10),
    boot_s=st.floats(0.1, 300),
    scale_in_after_s=st.floats(0, 600),
    counts_lag_s=st.sampled_from([0.0, 60.0]),
    billed_s=st.sampled_from([0.0, 60.0]),
)
fleets = st.lists(st.tuples(st.sampled_from(Phase), st.floats(0, 500)), max_size=40).map(
    lambda members: tuple(
        Worker(f"w{number}", phase, NOW - age_s) for number, (phase, age_s) in enumerate(members)
    )
)
memories = st.builds(
    lambda steps, rate, empty_s, sent_s: Memory(
        _peaks(steps),
        coming(rate),
        sent_at=sent_s and NOW - sent_s,
        empty_since=empty_s and NOW - empty_s,
        at=NOW - 2,
    ),
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 35)), max_size=10),
    st.sampled_from([0.0, 3.0, 100.0]),
    st.none() | st.floats(0, 200),
    st.none() | st.floats(0, 200),
)
observations = st.builds(
    Observation,
    st.integers(0, 200_000),
    st.integers(0, 1000),
    st.integers(0, 100),
    fleets,
    announced=st.integers(0, 1000),
    oldest_s=st.none() | st.floats(0, 10_000),
    service_s=st.none() | st.floats(0.001, 60),
    boot_s=st.none() | st.floats(0.1, 300),
    measured=st.integers(0, 10_000),
    memory=memories,
)


def _peaks(steps: list[tuple[float, int]]) -> Peaks:
    """Needs at the given distances before now."""
    peaks = Peaks()
    for before, need in sorted(steps, reverse=True):
        peaks = peaks.extended(NOW - before, need, 600)
    return peaks


@given(observations, configs)
def test_there_are_never_more_than_the_cap(observation: Observation, config: PolicyConfig) -> None:
    decision = decide(observation, config, NOW)

    if decision.launch:
        assert len(observation.workers) + decision.launch <= config.max_workers


@given(observations, configs)
def test_there_are_never_fewer_than_answer_in_time_while_there_is_room(
    observation: Observation, config: PolicyConfig
) -> None:
    quick = replace(observation, boot_s=config.boot_s, service_s=config.service_s)
    ready = observation.count({Phase.IDLE, Phase.BUSY})
    # What is left for new ones, if those who boot do nothing and those at work all they can.
    left_s = quick.backlog * config.service_s - ready * (config.boot_s + config.target_s)
    booting = observation.count({Phase.BOOTING}) * (config.boot_s + config.target_s)
    enough = (left_s - booting) / config.target_s - 0.2

    decision = decide(quick, config, NOW)

    room = config.max_workers - (len(observation.workers) - observation.count(SUPPLY))
    floor = max(config.min_workers, min(quick.backlog, 1))
    assert decision.desired >= min(floor, room)
    missing = min(enough, quick.backlog - observation.count(SUPPLY))
    assert decision.launch >= min(missing, room - observation.count(SUPPLY)) - 1e-3


@given(observations, configs, st.integers(0, 100_000))
def test_a_longer_backlog_never_means_a_smaller_fleet(
    observation: Observation, config: PolicyConfig, more: int
) -> None:
    longer = replace(observation, visible=observation.visible + more)

    assert decide(longer, config, NOW).desired >= decide(observation, config, NOW).desired


@given(observations, configs)
def test_only_idle_and_lost_workers_are_retired_and_none_while_others_are_launched(
    observation: Observation, config: PolicyConfig
) -> None:
    decision = decide(observation, config, NOW)

    going = {worker.phase for worker in observation.workers if worker.id in decision.retire}
    assert going <= ({Phase.LOST} if decision.launch else {Phase.IDLE, Phase.LOST})
    assert len(set(decision.retire)) == len(decision.retire)


@given(observations, configs)
def test_what_is_desired_is_what_there_will_be(
    observation: Observation, config: PolicyConfig
) -> None:
    decision = decide(observation, config, NOW)

    leaving = sum(
        worker.id in decision.retire and worker.phase in SUPPLY for worker in observation.workers
    )
    assert decision.desired == observation.count(SUPPLY) + decision.launch - leaving
    assert decision.why


def run(observation: Observation, config: PolicyConfig, turns: int) -> list[Decision]:
    """Take turns two seconds apart on a fleet that does as it is told at once."""
    decisions = []
    for turn in range(turns):
        now = NOW + 2 * turn
        decision = decide(observation, config, now)
        kept = [each for each in observation.workers if each.id not in decision.retire]
        new = [Worker(f"t{turn}-{n}", Phase.IDLE, now) for n in range(decision.launch)]
        observation = replace(observation, workers=(*kept, *new), memory=decision.memory)
        decisions.append(decision)
    return decisions


@given(st.integers(0, 5000), configs)
def test_a_constant_load_makes_one_change_and_no_more(backlog: int, config: PolicyConfig) -> None:
    first, *others = run(observe(backlog, memory=Memory()), config, 100)

    assert first.desired == first.launch
    assert not any(decision.launch for decision in others)
    # Fewer may do once they are there: they answer it within the target, without a boot.
    assert len([decision for decision in others if decision.retire]) <= 1


@given(st.integers(1, 40), st.integers(0, 1000).map(lambda tenths: tenths / 10))
def test_an_idle_fleet_converges_to_zero_as_soon_as_the_wait_is_over(
    idle: int, after_s: float
) -> None:
    config = PolicyConfig(max_workers=40, scale_in_after_s=after_s)

    decisions = run(observe(0, workers(idle=idle), Memory()), config, 60)

    turn = max(1, math.ceil(after_s / 2))
    assert {decision.desired for decision in decisions[1:turn]} <= {idle}
    assert {decision.desired for decision in decisions[turn + 1 :]} == {0}


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 30)), min_size=1, max_size=60),
    st.floats(0, 60),
)
def test_the_peaks_know_the_peak_of_their_window(
    steps: list[tuple[float, int]], window_s: float
) -> None:
    peaks, seen, now = Peaks(), [], NOW
    for pause_s, need in steps:
        now += pause_s
        peaks = peaks.extended(now, need, window_s)
        seen.append((now, need))

    assert peaks.peak == max(need for at, need in seen if at >= now - window_s)
    assert peaks.covers(window_s) == (now - seen[0][0] >= window_s)


@pytest.mark.parametrize("jump_s", [-1, -3600, 61, 3600], ids="{:+} s".format)
def test_a_clock_that_jumps_begins_anew(jump_s: float) -> None:
    config = replace(LAPTOP, scale_in_after_s=10)
    quiet = Memory(Peaks(NOW - 3600, ((NOW, 0),)), empty_since=NOW - 3600, at=NOW)

    decision = decide(observe(0, workers(idle=1), quiet), config, NOW + jump_s)

    assert decision.retire == ()
    assert decision.memory.peaks == Peaks(NOW + jump_s, ((NOW + jump_s, 0),))


def test_zeros_that_nobody_watched_are_no_proof_that_nothing_waits() -> None:
    before = replace(QUIET, sent_at=NOW - 3600, at=NOW - 300)

    assert decide(observe(memory=before), CLOUD, NOW).memory.empty_since == NOW


def test_a_scaler_that_begins_counts_what_those_who_are_there_have_cost_today() -> None:
    after = decide(observe(0, workers(1800, busy=2), Memory()), PAID, NOW).memory

    assert after.spent_usd == pytest.approx(2 * 0.36 / 2, rel=1e-3)


@pytest.mark.parametrize("jump_s", [-3600, 3600, 100_000], ids="{:+} s".format)
def test_a_clock_that_jumps_costs_no_more_than_the_time_there_was(jump_s: float) -> None:
    memory = replace(QUIET, spent_day=int(NOW // 86_400), spent_usd=0.5)

    after = decide(observe(0, workers(busy=1), memory), PAID, NOW + jump_s).memory

    assert 0 <= after.spent_usd <= 0.5 + 0.36 * max(0, jump_s + 2) / 3600


def test_one_burst_is_no_rate_and_a_stream_is() -> None:
    burst = stream = Arrivals()
    for turn in range(31):
        burst = burst.extended(NOW + 2 * turn, 0 if turn < 10 else 100_000)
        stream = stream.extended(NOW + 2 * turn, 20 * turn)

    assert burst.per_s == 0
    assert stream.per_s == pytest.approx(10, rel=0.01)


def test_counts_that_go_back_for_a_moment_do_not_count_twice() -> None:
    arrivals = Arrivals()
    for turn in range(40):
        seen = 20 * turn - (15 if turn % 3 == 0 else 0)
        arrivals = arrivals.extended(NOW + 2 * turn, max(0, seen))

    assert arrivals.per_s == pytest.approx(10, rel=0.1)


def test_counts_that_stay_lower_are_believed_in_the_end() -> None:
    arrivals = Arrivals().extended(NOW, 1000)  # and then the queue was purged
    for turn in range(1, 100):
        arrivals = arrivals.extended(NOW + 2 * turn, 20 * turn)

    assert arrivals.per_s == pytest.approx(10, rel=0.1)


def test_no_worker_is_billed_for_longer_than_it_takes_to_see_that_it_is_not_needed() -> None:
    burst = observe(1000, memory=Memory())
    first = decide(burst, CLOUD, NOW)
    done = replace(
        burst,
        visible=0,
        workers=workers(0, idle=first.launch),
        memory=first.memory,
        sent_at=NOW,
        done=1000,
    )

    gone_after = None
    for turn in range(1, 200):
        decision = decide(done, CLOUD, NOW + 2 * turn)
        done = replace(done, memory=decision.memory)
        if decision.desired == 0:
            gone_after = 2 * turn
            break

    assert gone_after == 62  # the paid minute, in which the counts became sure
