import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_scaler.history import NeedHistory
from imagefleet_scaler.policy import (
    SUPPLY,
    Decision,
    Observation,
    Phase,
    PolicyConfig,
    Worker,
    decide,
)

NOW = 1_800_000_000.0
CONFIG = PolicyConfig(
    min_workers=0, max_workers=20, target_s=10, service_s=0.1, scale_in_after_s=60
)
QUIET_MINUTE = NeedHistory(NOW - 60, ((NOW - 2, 0),))


def workers(**counts: int) -> tuple[Worker, ...]:
    """Workers by phase, `workers(idle=2, busy=1)`; within a phase the first is the oldest."""
    return tuple(
        Worker(f"{phase}-{number}", Phase(phase), NOW - 1000 + number)
        for phase, count in counts.items()
        for number in range(1, count + 1)
    )


def observe(
    waiting: int = 0,
    fleet: tuple[Worker, ...] = (),
    *,
    in_flight: int = 0,
    delayed: int = 0,
    service_s: float | None = None,
    history: NeedHistory = QUIET_MINUTE,
) -> Observation:
    return Observation(NOW, waiting, in_flight, delayed, fleet, service_s, history)


@dataclass(frozen=True)
class Case:
    """An observation and what should come of it."""

    name: str
    observation: Observation
    launch: int = 0
    retire: tuple[str, ...] = ()
    why: str = ""
    config: PolicyConfig = field(default=CONFIG)


NEVER_WATCHED = NeedHistory()
WATCHED_59_S = NeedHistory(NOW - 59, ((NOW - 2, 0),))
NEEDED_5_HALF_A_MINUTE_AGO = NeedHistory(NOW - 600, ((NOW - 30, 5), (NOW - 2, 0)))

CASES = [
    Case(
        "nothing waits and nobody is there",
        observe(),
        why="nothing waits, and 0 workers should be there",
    ),
    Case(
        "one image starts one worker",
        observe(1),
        launch=1,
        why="answering 1 image within 10 s, at 0.1 s an image, takes 1 worker; 0 are there",
    ),
    Case("images held by a worker that died need one too", observe(in_flight=1), launch=1),
    Case("delayed images count", observe(delayed=1), launch=1),
    Case("a backlog of exactly one worker's ten seconds", observe(100), launch=1),
    Case("one image more needs one worker more", observe(101), launch=2),
    Case("a burst launches all it needs at once", observe(1000), launch=10),
    Case("booting workers count as supply", observe(1000, workers(booting=10))),
    Case("what is missing beside booting ones", observe(1000, workers(booting=7)), launch=3),
    Case("the measured service time counts", observe(100, service_s=1.0), launch=10),
    Case(
        "the cap holds and is said aloud",
        observe(10_000),
        launch=20,
        why="answering 10000 images within 10 s, at 0.1 s an image, takes 100 workers; "
        "0 are there, and at most 20 are allowed",
    ),
    Case(
        "draining workers are no supply, but take up room",
        observe(10_000, workers(busy=10, draining=4)),
        launch=6,
        why="answering 10000 images within 10 s, at 0.1 s an image, takes 100 workers; "
        "10 are there, and 4 draining or lost must go before there is room for more",
    ),
    Case(
        "lost workers are replaced and retired at once",
        observe(1, workers(lost=1)),
        launch=1,
        retire=("lost-1",),
    ),
    Case("lost workers go though nothing waits", observe(0, workers(lost=1)), retire=("lost-1",)),
    Case(
        "idle workers stay while the quiet is young",
        observe(0, workers(idle=3), history=WATCHED_59_S),
        why="3 workers for a need of 0: idle ones may go once it has held for 60 s",
    ),
    Case(
        "idle workers go after a quiet minute",
        observe(0, workers(idle=3)),
        retire=("idle-1", "idle-2", "idle-3"),
        why="3 workers for a need of 0, and no more for 60 s: idle ones may go",
    ),
    Case(
        "a scaler just started retires nobody",
        observe(0, workers(idle=3), history=NEVER_WATCHED),
    ),
    Case(
        "the fleet shrinks to the last minute's peak only",
        observe(0, workers(idle=8), history=NEEDED_5_HALF_A_MINUTE_AGO),
        retire=("idle-1", "idle-2", "idle-3"),
    ),
    Case(
        "busy, booting and draining workers are no victims",
        observe(0, workers(busy=2, booting=1, draining=1)),
    ),
    Case(
        "of more than is needed only idle ones go, the oldest first",
        observe(1, workers(busy=1, idle=3), history=NeedHistory(NOW - 60, ((NOW - 2, 1),))),
        retire=("idle-1", "idle-2", "idle-3"),
    ),
    Case(
        "a minimum is kept while nothing waits",
        observe(),
        launch=2,
        why="at least 2 workers should be there; 0 are there",
        config=replace(CONFIG, min_workers=2),
    ),
    Case(
        "the fleet shrinks to the minimum",
        observe(0, workers(idle=3)),
        retire=("idle-1",),
        config=replace(CONFIG, min_workers=2),
    ),
    Case(
        "a lowered cap is reached through idle workers",
        observe(10_000, workers(busy=3, idle=2)),
        retire=("idle-1",),
        config=replace(CONFIG, max_workers=4),
    ),
    Case(
        "as many as are needed are there",
        observe(3, workers(busy=1)),
        why="3 images wait for as many workers as are there, 1",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_policy_decides(case: Case) -> None:
    decision = decide(case.observation, case.config)

    assert (decision.launch, decision.retire) == (case.launch, case.retire)
    if case.why:
        assert decision.why == case.why


configs = st.builds(
    lambda low, more, target, service, after: PolicyConfig(low, low + more, target, service, after),
    st.integers(0, 5),
    st.integers(1, 30),
    st.floats(0.1, 600),
    st.floats(0.001, 10),
    st.floats(0, 600),
)
fleets = st.lists(st.sampled_from(Phase), max_size=40).map(
    lambda phases: tuple(
        Worker(f"w{number}", phase, NOW + number) for number, phase in enumerate(phases)
    )
)
histories = st.lists(st.tuples(st.floats(0, 200), st.integers(0, 35)), max_size=10).map(
    lambda steps: _watched(steps)
)
observations = st.builds(
    Observation,
    st.just(NOW),
    st.integers(0, 200_000),
    st.integers(0, 1000),
    st.integers(0, 100),
    fleets,
    st.none() | st.floats(0.001, 60),
    histories,
)


def _watched(steps: list[tuple[float, int]]) -> NeedHistory:
    """A history of needs at the given distances before now."""
    history = NeedHistory()
    for before, need in sorted(steps, reverse=True):
        history = history.extended(NOW - before, need, 600)
    return history


def supply_of(observation: Observation) -> int:
    return len(observation.ids(SUPPLY))


@given(observations, configs)
def test_there_are_never_more_than_the_cap(observation: Observation, config: PolicyConfig) -> None:
    decision = decide(observation, config)

    if decision.launch:
        assert len(observation.workers) + decision.launch <= config.max_workers


@given(observations, configs)
def test_there_are_never_fewer_than_needed_while_there_is_room(
    observation: Observation, config: PolicyConfig
) -> None:
    service_s = config.service_s if observation.service_s is None else observation.service_s
    enough = observation.backlog * service_s / config.target_s * (1 - 1e-5)

    decision = decide(observation, config)

    room = config.max_workers - (len(observation.workers) - supply_of(observation))
    assert decision.desired >= min(enough, room)
    assert decision.desired >= min(config.min_workers, room)
    assert decision.desired >= min(observation.backlog, 1, room)


@given(observations, configs, st.integers(0, 100_000))
def test_a_longer_backlog_never_means_a_smaller_fleet(
    observation: Observation, config: PolicyConfig, more: int
) -> None:
    longer = replace(observation, visible=observation.visible + more)

    assert decide(longer, config).desired >= decide(observation, config).desired


@given(observations, configs)
def test_only_idle_and_lost_workers_are_retired_and_none_while_others_are_launched(
    observation: Observation, config: PolicyConfig
) -> None:
    decision = decide(observation, config)

    going = {worker.phase for worker in observation.workers if worker.id in decision.retire}
    assert going <= ({Phase.LOST} if decision.launch else {Phase.IDLE, Phase.LOST})
    assert len(set(decision.retire)) == len(decision.retire)


@given(observations, configs)
def test_what_is_desired_is_what_there_will_be(
    observation: Observation, config: PolicyConfig
) -> None:
    decision = decide(observation, config)

    leaving = sum(
        worker.id in decision.retire and worker.phase in SUPPLY for worker in observation.workers
    )
    assert decision.desired == supply_of(observation) + decision.launch - leaving
    assert decision.why


def run(observation: Observation, config: PolicyConfig, turns: int) -> list[Decision]:
    """Take turns two seconds apart on a fleet that does as it is told at once."""
    decisions = []
    for turn in range(turns):
        decision = decide(replace(observation, now=NOW + 2 * turn), config)
        kept = [each for each in observation.workers if each.id not in decision.retire]
        new = [Worker(f"t{turn}-{n}", Phase.IDLE, NOW) for n in range(decision.launch)]
        observation = replace(observation, workers=(*kept, *new), history=decision.history)
        decisions.append(decision)
    return decisions


@given(st.integers(0, 5000), configs)
def test_a_constant_load_makes_one_change_and_no_more(backlog: int, config: PolicyConfig) -> None:
    first, *others = run(observe(backlog, history=NeedHistory()), config, 100)

    assert first.desired == first.launch
    assert not any(decision.launch or decision.retire for decision in others)


@given(st.integers(1, 40), st.integers(0, 1000).map(lambda tenths: tenths / 10))
def test_an_idle_fleet_converges_to_zero_as_soon_as_the_wait_is_over(
    idle: int, after_s: float
) -> None:
    config = PolicyConfig(max_workers=40, scale_in_after_s=after_s)

    decisions = run(observe(0, workers(idle=idle), history=NeedHistory()), config, 60)

    turn = math.ceil(after_s / 2)
    assert [decision.desired for decision in decisions[:turn]] == [idle] * turn
    assert {decision.desired for decision in decisions[turn:]} == {0}


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 30)), min_size=1, max_size=60),
    st.floats(0, 60),
)
def test_the_history_knows_the_peak_of_its_window(
    steps: list[tuple[float, int]], window_s: float
) -> None:
    history, seen, now = NeedHistory(), [], NOW
    for pause_s, need in steps:
        now += pause_s
        history = history.extended(now, need, window_s)
        seen.append((now, need))

    assert history.peak == max(need for at, need in seen if at >= now - window_s)
    assert history.covers(window_s) == (now - seen[0][0] >= window_s)


@pytest.mark.parametrize("jump_s", [-1, -3600, 61, 3600], ids="{:+} s".format)
def test_a_clock_that_jumps_begins_a_new_history(jump_s: float) -> None:
    config = replace(CONFIG, scale_in_after_s=10)
    quiet = NeedHistory(NOW - 3600, ((NOW, 0),))
    after = replace(observe(0, workers(idle=1), history=quiet), now=NOW + jump_s)

    decision = decide(after, config)

    assert decision.retire == ()
    assert decision.history == NeedHistory(NOW + jump_s, ((NOW + jump_s, 0),))
