import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.typing import EventDict

from fake_provider import FakeProvider, Machines
from fakes import MemoryQueues, MemoryStore
from imagefleet_core.queues import Queue
from imagefleet_core.telemetry import Announcement, Report, WorkerState
from imagefleet_scaler import loop
from imagefleet_scaler.boots import Boots
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.lease import Lease
from imagefleet_scaler.loop import Loop
from imagefleet_scaler.policy import Decision, Observation, PolicyConfig
from imagefleet_scaler.providers.base import InstanceState
from imagefleet_scaler.purse import Purse
from imagefleet_scaler.telemetry import Telemetry
from system import wait_for

CONFIG = PolicyConfig(max_workers=5, target_s=10, service_s=1, scale_in_after_s=60)


class System:
    """A scaler on fakes, on a clock that the test moves."""

    def __init__(self, heartbeat: Path) -> None:
        self.now = 1_800_000_000.0
        self.machines = Machines()
        self.provider = FakeProvider(self.machines)
        queues = MemoryQueues(clock=lambda: self.now)
        self.requests = queues.add("requests")
        self.telemetry = queues.add("telemetry")
        self.heartbeat = heartbeat
        self.listeners: list[Callable[[Observation, Decision], object]] = []
        self.loop = self.scaler()

    def scaler(
        self,
        *,
        dry_run: bool = False,
        lease: Lease | None = None,
        purse: Purse | None = None,
        config: PolicyConfig = CONFIG,
    ) -> Loop:
        """A scaler that was just started."""
        return Loop(
            requests=self.requests,
            telemetry=Telemetry(self.telemetry),
            provider=self.provider,
            fleet=Fleet(boots=Boots(120), lost_after_s=60),
            config=config,
            lease=lease,
            purse=purse,
            heartbeat=None if dry_run else self.heartbeat,
            dry_run=dry_run,
            listeners=self.listeners,
        )

    def turns(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += 2
            self.machines.now = self.now
            self.loop.turn(self.now)

    def workers(self) -> list[str]:
        return [instance.id for instance in self.provider.list()]

    def report(self, worker: str, state: WorkerState, done: int = 0) -> None:
        at = datetime.fromtimestamp(self.now, UTC)
        self.telemetry.send([Report(worker, state, at, 0, done, 0, 0).encode()])

    def answer_everything(self) -> None:
        """Let the workers do all there is, and say that they are idle."""
        empty(self.requests)
        for worker in self.workers():
            self.report(worker, WorkerState.IDLE)


def empty(queue: Queue) -> None:
    while some := queue.receive(wait_s=0, visibility_s=60):
        queue.delete([message.receipt for message in some])


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path / "alive")


def said(logged: list[EventDict], level: str) -> list[str]:
    return [entry["event"] for entry in logged if entry["log_level"] == level]


def test_an_idle_system_has_no_workers(system: System) -> None:
    system.turns(3)

    assert system.workers() == []


def test_a_burst_is_met_at_once_and_not_twice(system: System) -> None:
    system.requests.send(["image"] * 25)

    system.turns(1)
    after_one_turn = len(system.workers())
    system.turns(5)

    assert after_one_turn == len(system.workers()) == 3


def test_the_fleet_goes_to_zero_after_the_last_result(system: System) -> None:
    system.requests.send(["image"] * 25)
    system.turns(1)
    system.answer_everything()

    system.turns(30)
    before = len(system.workers())
    system.turns(2)

    assert (before, system.workers()) == (3, [])


def test_a_busy_worker_outlives_the_wait(system: System) -> None:
    system.requests.send(["image"] * 15)
    system.turns(1)
    idle, busy = system.workers()
    system.answer_everything()

    for _ in range(40):
        system.report(idle, WorkerState.IDLE)
        system.report(busy, WorkerState.BUSY)
        system.turns(1)

    assert system.workers() == [busy]


def test_a_worker_that_died_is_replaced(system: System) -> None:
    system.requests.send(["image"] * 15)
    system.turns(1)
    dead, alive = system.workers()

    system.machines.kill(dead)
    system.turns(1)

    assert len(system.workers()) == 2
    assert alive in system.workers()
    assert dead not in system.workers()


def test_a_silent_worker_is_replaced(system: System) -> None:
    system.requests.send(["image"])
    system.turns(1)
    (silent,) = system.workers()

    system.turns(65)

    assert len(system.workers()) == 1
    assert silent not in system.workers()


def test_a_restarted_scaler_launches_nothing_that_is_there(system: System) -> None:
    system.requests.send(["image"] * 25)
    system.turns(1)
    before = system.workers()

    system.loop = system.scaler()
    system.turns(5)

    assert system.workers() == before


def test_a_restarted_scaler_does_not_double_a_fleet_that_works(system: System) -> None:
    system.requests.send(["image"] * 25)
    system.turns(1)
    before = system.workers()
    system.now += 3600

    system.loop = system.scaler()
    for turn in range(30):
        system.turns(1)
        for worker in before if turn >= 2 else []:  # the first reports take some turns
            system.report(worker, WorkerState.BUSY)

    assert system.workers() == before


@pytest.mark.parametrize("call", ["list", "launch", "sweep"])
def test_a_turn_that_fails_is_survived(system: System, call: str) -> None:
    system.requests.send(["image"])
    system.provider.outage.begin(call, times=3)

    system.turns(3)
    assert not system.heartbeat.exists()
    system.turns(1)

    assert len(system.workers()) == 1
    assert system.heartbeat.exists()


def test_an_outage_is_said_once_and_so_is_its_end(system: System, logged: list[EventDict]) -> None:
    system.requests.missing = True
    system.turns(5)
    system.requests.missing = False
    system.turns(5)

    assert said(logged, "error") == ["this turn failed; trying on"]
    assert said(logged, "info") == ["all is well again"]


def test_an_error_nobody_foresaw_is_logged_in_full(
    system: System, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("Labels")

    monkeypatch.setattr(system.provider, "list", broken)
    system.turns(2)

    (entry,) = [entry for entry in logged if entry["log_level"] == "error"]
    assert isinstance(entry["exc_info"], KeyError)


def test_a_change_is_one_line_with_its_reason(system: System, logged: list[EventDict]) -> None:
    system.turns(3)
    system.requests.send(["image"])
    system.turns(5)

    (entry,) = [entry for entry in logged if entry["log_level"] == "info"]
    assert entry["launched"] == 1
    assert entry["why"].startswith("answering 1 image within 10 s")


def test_a_launch_that_fails_is_no_change(system: System, logged: list[EventDict]) -> None:
    system.requests.send(["image"])
    system.provider.outage.begin("launch")

    system.turns(5)

    assert said(logged, "info") == []
    assert said(logged, "error") == ["this turn failed; trying on"]


def test_listeners_are_told_what_was_done_in_each_turn(system: System) -> None:
    turns: list[tuple[int, int]] = []
    system.listeners.append(lambda seen, decision: turns.append((seen.backlog, decision.launch)))
    system.requests.send(["image"] * 25)
    system.provider.outage.begin("launch", times=1)

    system.turns(3)

    assert turns == [(25, 0), (25, 3), (25, 0)]


def test_a_worker_that_is_lost_goes_though_nobody_can_be_launched(
    system: System, logged: list[EventDict]
) -> None:
    # given a worker that never comes to work, and a provider that launches nobody else
    turns: list[tuple[int, tuple[str, ...]]] = []
    system.listeners.append(lambda _seen, made: turns.append((made.launch, made.retire)))
    system.requests.send(["image"])
    system.turns(1)
    (silent,) = system.workers()
    system.provider.outage.begin("launch")

    system.turns(80)

    # then it is gone, each turn is told of, and its last words were asked for once
    assert system.workers() == []
    assert len(turns) == 81
    assert turns.count((0, (silent,))) == 1
    assert said(logged, "warning") == ["a worker never came to work"]
    assert said(logged, "error")[0] == "this turn failed; trying on"


def test_a_worker_that_fell_silent_is_asked_for_its_last_words_too(
    system: System, logged: list[EventDict]
) -> None:
    system.requests.send(["image"])
    system.turns(1)
    (worker,) = system.workers()
    system.report(worker, WorkerState.BUSY)

    system.turns(65)

    (entry,) = [each for each in logged if each["event"] == "a worker fell silent"]
    assert (entry["worker"], entry["said"]) == (worker, f"{worker} could not begin")


def test_a_worker_that_ended_before_it_came_to_work_is_said(
    system: System, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    system.requests.send(["image"])
    system.turns(1)
    (worker,) = system.workers()
    system.machines.kill(worker)
    monkeypatch.setattr(system.provider, "last_words", lambda ids: dict.fromkeys(ids, "no disk"))

    system.turns(3)

    (entry,) = [each for each in logged if each["event"] == "a worker never came to work"]
    assert (entry["worker"], entry["said"]) == (worker, "no disk")


def test_nobody_who_knows_the_last_words_is_no_trouble(
    system: System, logged: list[EventDict]
) -> None:
    system.requests.send(["image"])
    system.turns(1)
    (silent,) = system.workers()
    system.provider.outage.begin("last_words")

    system.turns(65)

    (entry,) = [each for each in logged if each["event"] == "a worker never came to work"]
    assert (entry["worker"], entry["said"]) == (silent, "")
    assert said(logged, "error") == []


def test_a_listener_that_fails_is_said_and_survived(
    system: System, logged: list[EventDict]
) -> None:
    system.listeners.append(lambda _seen, _decision: 1 / 0)
    system.requests.send(["image"] * 25)

    system.turns(2)

    assert len(system.workers()) == 3
    assert said(logged, "error") == ["this turn failed; trying on"]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    system: System, logged: list[EventDict]
) -> None:
    system.requests.send(["image"] * 25)
    system.turns(1)
    workers = system.workers()
    system.provider.retire(workers[:1])
    system.report(workers[1], WorkerState.IDLE)
    system.requests.send(["image"] * 25)
    reports = system.telemetry.bodies()
    del logged[:]

    system.loop = system.scaler(dry_run=True)
    system.turns(5)

    assert system.workers() == workers
    assert system.telemetry.bodies() == reports
    assert [entry["launch"] for entry in logged] == [2]


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_clock_that_jumps_costs_nobody_their_place(system: System, jump_s: float) -> None:
    system.requests.send(["image"] * 15)
    system.turns(1)
    before = system.workers()
    system.answer_everything()
    system.turns(1)

    system.now += jump_s
    for worker in before:
        system.report(worker, WorkerState.IDLE)
    system.turns(1)
    for worker in before:
        system.report(worker, WorkerState.IDLE)
    system.turns(20)

    assert system.workers() == before


def test_the_loop_takes_turns_until_it_is_stopped_and_leaves_the_fleet_alone(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.requests.send(["image"])
    stopping = threading.Event()
    turns = []

    def turn(now: float) -> None:
        turns.append(now)
        Loop.turn(system.loop, now)
        if len(turns) == 3:
            stopping.set()

    monkeypatch.setattr(system.loop, "turn", turn)
    system.loop.run(stopping, tick_s=0.001)

    assert len(turns) == 3
    assert len(system.workers()) == 1


def test_what_the_web_tier_announces_is_met_before_the_queue_tells(system: System) -> None:
    system.turns(2)

    announced = Announcement(25, datetime.fromtimestamp(system.now, UTC))
    system.telemetry.send([announced.encode()])
    system.loop._rests = False  # as when something woke it
    system.turns(1)

    assert len(system.workers()) == 3


def test_what_was_announced_outlives_a_turn_that_fails(system: System) -> None:
    system.turns(2)
    announced = Announcement(25, datetime.fromtimestamp(system.now, UTC))
    system.telemetry.send([announced.encode()])
    system.loop._rests = False
    system.requests.missing = True
    system.turns(1)
    system.requests.missing = False

    system.turns(1)

    assert len(system.workers()) == 3


def test_what_was_heard_outlives_a_queue_that_fails_after_that(system: System) -> None:
    # given an announcement that the ear has heard while the fleet rested
    system.turns(2)
    announced = Announcement(25, datetime.fromtimestamp(system.now, UTC))
    ear = system.loop._ear
    assert ear
    ear._heard.announcements.append(announced)
    system.loop._rests = False
    system.telemetry.missing = True

    system.turns(1)

    assert len(system.workers()) == 3


def test_a_worker_whose_last_words_were_told_is_told_of_once(
    system: System, logged: list[EventDict]
) -> None:
    # given a silent worker that can't be ended, and then ends by itself
    system.requests.send(["image"])
    system.turns(1)
    (silent,) = system.workers()
    system.provider.outage.begin("retire")
    system.turns(65)

    system.machines.kill(silent)
    system.turns(3)

    told = [each["worker"] for each in logged if each["event"] == "a worker never came to work"]
    assert told == [silent]


def test_what_was_announced_and_done_by_a_worker_on_its_way_out_is_met_once(
    system: System,
) -> None:
    # given a worker that is to go, and gets what was announced just then
    system.requests.send(["image"])
    system.turns(1)
    (worker,) = system.workers()
    system.answer_everything()
    system.turns(1)
    system.provider.retire([worker])
    announced = Announcement(6, datetime.fromtimestamp(system.now, UTC))
    system.telemetry.send([announced.encode()])

    # when it does that, and is gone before anybody looks again
    system.report(worker, WorkerState.STOPPED, done=6)
    system.turns(3)

    assert system.workers() == []


def test_at_rest_an_announcement_ends_the_pause_at_once(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "REST_TICK_S", 60)
    stopping = threading.Event()
    thread = threading.Thread(target=system.loop.run, args=(stopping, 0.001), daemon=True)
    thread.start()
    wait_for(lambda: system.loop._rests, 30)

    began = time.monotonic()
    system.requests.send(["image"] * 25)
    system.telemetry.send([Announcement(25, datetime.now(UTC)).encode()])
    wait_for(lambda: len(system.workers()) == 3, 90)
    took_s = time.monotonic() - began
    stopping.set()
    system.loop.wake()
    thread.join(10)

    assert took_s < loop.REST_TICK_S / 2


def test_at_rest_the_provider_is_asked_seldom(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    listed = system.provider.list

    def list_and_count() -> Any:
        asked.append(system.now)
        return listed()

    monkeypatch.setattr(system.provider, "list", list_and_count)

    system.turns(30)

    assert len(asked) <= 2


def test_a_scaler_that_stands_by_does_nothing(system: System, logged: list[EventDict]) -> None:
    store = MemoryStore(clock=lambda: system.now)
    Lease(store, "the other one", 10, lambda: system.now).hold()
    del logged[:]
    system.requests.send(["image"] * 25)
    system.loop = system.scaler(lease=Lease(store, "this one", 10, lambda: system.now))

    stopping = threading.Event()
    thread = threading.Thread(target=system.loop.run, args=(stopping, 0.001), daemon=True)
    thread.start()
    wait_for(lambda: said(logged, "info"), 10)
    stopping.set()
    thread.join(10)

    assert said(logged, "info") == ["this scaler stands by"]
    assert system.workers() == []
    assert system.heartbeat.exists()


def test_a_scaler_that_acts_again_looks_who_is_there(system: System) -> None:
    store = MemoryStore(clock=lambda: system.now)
    one = Lease(store, "this one", 10, lambda: system.now)
    assert one.hold()
    system.loop = system.scaler(lease=one)
    system.turns(2)
    assert system.loop._rests

    # When another one has acted meanwhile, and launched for a burst
    one.release()
    assert Lease(store, "the other one", 10, lambda: system.now).hold()
    stopping = threading.Event()
    thread = threading.Thread(target=system.loop.run, args=(stopping, 0.001), daemon=True)
    thread.start()
    wait_for(lambda: not system.loop._rests, 10)
    stopping.set()
    thread.join(10)
    system.now += 12
    system.machines.now = system.now
    system.provider.launch(3)
    system.requests.send(["image"] * 25)

    # Then none of them is launched again
    assert one.hold()
    system.turns(1)
    assert len(system.workers()) == 3


def test_a_turn_that_outlasts_the_lease_does_nothing(
    system: System, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(MemoryStore(clock=lambda: system.now), "this one", 10, lambda: system.now)
    assert lease.hold()
    system.loop = system.scaler(lease=lease)
    system.requests.send(["image"] * 25)
    listed = system.provider.list

    def slow_list() -> Any:
        system.now += 60
        return listed()

    monkeypatch.setattr(system.provider, "list", slow_list)
    system.turns(1)
    monkeypatch.undo()

    assert system.workers() == []
    assert said(logged, "warning") == ["this turn took longer than the lease; nothing more is done"]


def test_a_launch_that_outlasts_the_lease_is_the_turns_last_deed(
    system: System, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    system.requests.send(["image"])
    system.turns(1)
    (silent,) = system.workers()
    lease = Lease(MemoryStore(clock=lambda: system.now), "this one", 10, lambda: system.now)
    system.loop = system.scaler(lease=lease)
    launch = system.provider.launch

    def slow_launch(count: int) -> Any:
        system.now += 60
        return launch(count)

    monkeypatch.setattr(system.provider, "launch", slow_launch)
    for _ in range(70):  # until the silent one is lost, and another takes its place
        assert lease.hold()
        system.turns(1)
        if len(system.workers()) > 1:
            break

    states = {each.id: each.state for each in system.provider.list()}
    assert states[silent] is InstanceState.RUNNING
    assert said(logged, "warning")[-1].startswith("this turn took longer than the lease")


def test_the_last_words_of_a_worker_that_never_came_to_work_are_kept(
    system: System, logged: list[EventDict]
) -> None:
    system.requests.send(["image"])
    system.turns(1)
    (silent,) = system.workers()

    system.turns(65)

    (entry,) = [each for each in logged if each["event"] == "a worker never came to work"]
    assert (entry["worker"], entry["said"]) == (silent, f"{silent} could not begin")


def test_launches_that_come_to_nothing_are_not_repeated_at_every_turn(system: System) -> None:
    system.requests.send(["image"] * 1000)
    launched: set[str] = set()
    for _ in range(60):
        system.turns(1)
        launched.update(system.workers())
        for worker in system.workers():
            system.machines.kill(worker)

    assert len(launched) < 15


def test_a_scaler_that_begins_goes_on_with_the_days_money(system: System) -> None:
    # given a scaler that spent the day's money
    store = MemoryStore()
    config = replace(CONFIG, worker_usd_per_hour=1000.0, max_usd_per_day=100.0)
    system.loop = system.scaler(purse=Purse(store), config=config)
    system.requests.send(["image"] * 1000)
    system.turns()
    assert system.workers()
    system.turns(100)
    assert not system.workers()

    # when another one begins
    system.loop = system.scaler(purse=Purse(store), config=config)
    system.turns(5)

    # then it launches nobody
    assert not system.workers()


def test_a_cap_is_said_when_it_begins_to_bind_and_when_it_ends(
    system: System, logged: list[EventDict]
) -> None:
    system.requests.send(["image"] * 1000)
    system.turns(5)
    empty(system.requests)
    system.turns(5)

    told = [each for each in logged if "grow" in each["event"]]
    assert [each["event"] for each in told] == [
        "the fleet can't grow as it should",
        "the fleet may grow again",
    ]
    assert told[0]["reason"] == "at most 5 are allowed"
    assert told[0]["cap"] == "workers"


def test_a_cap_and_a_trouble_that_last_are_said_in_every_period_of_their_alarms(
    system: System, logged: list[EventDict]
) -> None:
    # given a quarter of an hour of turns of two seconds, in periods as the alarms have them
    minutes, period_s = 15, 300

    def periods(event: str) -> list[int]:
        """Return in which period each line was said."""
        found = []
        for turn in range(minutes * 60 // 2):
            before = len(logged)
            system.turns()
            new = [each for each in logged[before:] if each["event"] == event]
            found += [turn * 2 // period_s] * len(new)
        return found

    system.requests.send(["image"] * 1000)
    capped = periods("the fleet can't grow as it should")
    system.requests.missing = True
    failed = periods("this turn failed; trying on")

    # then each has a line or a few, and not one for each turn
    for said_in in (capped, failed):
        assert set(said_in) == set(range(minutes * 60 // period_s))
        assert len(said_in) < 20
