"""Who tells receivers, and when: processes that die or dawdle, receivers and stores that fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from threading import Barrier, Event, Lock
from typing import Any

import pytest
from structlog.testing import capture_logs

from clock import Clock
from imagefleet_core.errors import Unavailable
from imagefleet_core.jobs import JobId, Request, new_batch_id
from imagefleet_core.keys import callback_key, input_key
from imagefleet_web.callbacks import keeper as keeping
from imagefleet_web.callbacks import schedule, takeover
from imagefleet_web.callbacks.delivery import Delivery, Outcome
from imagefleet_web.callbacks.keeper import Keeper
from imagefleet_web.callbacks.lanes import Lanes
from imagefleet_web.callbacks.note import Note, Notes
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.results import Results
from web_tier import DEADLINE_S, World, eventually

URL = "https://receiver.example/hook"
HOLD_S = 60.0
HEARD = Outcome(True, "the answer was 204", heard=True)
DAY_S = 24 * 3600.0


class Receivers(Delivery):
    """What receivers say to each try; all that it is told is kept, with the time.

    Attributes:
        says: the outcome of each try, heard when there are none left.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.told: list[tuple[str, float]] = []
        self.says: list[Outcome | Exception] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def attempt(self, batch: str, note: Note) -> Outcome:
        self.told.append((batch, self._clock()))
        self.meanwhile()
        outcome = self.says.pop(0) if self.says else HEARD
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def batches(self) -> list[str]:
        return [batch for batch, _ in self.told]


class Here(Lanes):
    """Sends at once, in the thread that asks for it."""

    def __init__(self) -> None:
        super().__init__(1)

    def run(self, client: str, call: Callable[[], None]) -> None:
        call()


class Process:
    """What a web process has of callbacks."""

    def __init__(self, name: str, world: World, clock: Clock, receivers: Receivers) -> None:
        self.hub = Hub()
        self.clock = clock
        self.pool = ThreadPoolExecutor(4)
        self.keeper = Keeper(
            Notes(world.store, self.pool),
            Results(self.hub, world.store, self.pool),
            receivers,
            Here(),
            holder=name,
            hold_s=HOLD_S,
            most_of_one=3,
            clock=clock,
            chance=random.Random(1),
        )
        self.hub.attend(self.keeper.hear)

    def step(self) -> float:
        """Do all that is due now; return for how long there is nothing then."""
        for _ in range(100):
            if rest := self.keeper.step():
                return rest
        raise AssertionError("there is no end to what is due")

    def live(self, seconds: float) -> None:
        """Let time pass, doing what is due whenever something is."""
        end = self.clock.now + seconds
        while (rest := self.step()) and self.clock.now + rest < end:
            self.clock.now += rest + 0.001
        self.clock.now = end


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC).timestamp())


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


@pytest.fixture
def receivers(clock: Clock) -> Receivers:
    return Receivers(clock)


@pytest.fixture
def start(world: World, clock: Clock, receivers: Receivers) -> Iterator[Callable[[str], Process]]:
    """Start processes, each with a name."""
    started: list[Process] = []

    def start(name: str) -> Process:
        started.append(Process(name, world, clock, receivers))
        return started[-1]

    yield start
    for process in started:
        process.pool.shutdown()


@pytest.fixture
def one(start: Callable[[str], Process]) -> Process:
    return start("one")


@pytest.fixture
def two(start: Callable[[str], Process]) -> Process:
    return start("two")


def upload(world: World, process: Process, images: int = 2, owner: str | None = None) -> str:
    """Store images as an upload with a callback does; return their batch."""
    batch = new_batch_id()
    for number in range(1, images + 1):
        job = JobId(batch, number)
        key = input_key(job, "cat.jpg")
        world.store.put_image(key, b"x", "image/jpeg")
        world.requests.send([Request(job, key, "cat.jpg", None, datetime.now(UTC)).encode()])
    process.keeper.keep(batch, range(1, images + 1), URL, owner)
    return batch


def finish(world: World, *processes: Process, batch: str = "") -> None:
    """Finish what is queued, of a batch if one is given, and tell some processes of it."""
    requests = [each for each in world.queued() if batch in each.job.batch]
    for result in world.finish(requests):
        for process in processes:
            process.hub.publish(result)


def notes(world: World) -> list[str]:
    return world.store.note_keys("callbacks/")


def test_a_receiver_is_told_once_as_soon_as_its_batch_is_finished(
    one: Process, world: World, receivers: Receivers
) -> None:
    batch, other = upload(world, one), upload(world, one)
    one.step()
    assert receivers.told == []

    finish(world, one, batch=batch)
    one.step()

    assert receivers.batches == [batch]
    assert notes(world) == [callback_key(other)]
    one.live(DAY_S)
    assert receivers.batches == [batch]


def test_nothing_is_told_while_an_image_is_missing(
    one: Process, world: World, receivers: Receivers
) -> None:
    batch = upload(world, one, images=3)
    for result in world.finish(world.queued()[:2]):
        one.hub.publish(result)

    one.live(3600)
    assert receivers.told == []

    finish(world, one)
    one.step()
    assert receivers.batches == [batch]


def test_results_whose_replies_were_lost_are_found(
    one: Process, world: World, clock: Clock, receivers: Receivers
) -> None:
    upload(world, one)
    one.step()
    finish(world)

    one.live(HOLD_S)

    assert len(receivers.told) == 1


def test_the_longer_a_batch_takes_the_more_rarely_it_is_looked_for(
    one: Process, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, one)
    calls = counted(world, monkeypatch)

    one.live(DAY_S)

    assert calls["write_note"] < DAY_S / keeping.LONGEST_LOOK_S + 10
    assert calls["result_numbers"] + calls["list_results"] < DAY_S / keeping.LONGEST_LOOK_S + 10


def test_what_no_reply_tells_of_is_looked_for_as_often_for_a_while(
    one: Process, world: World, clock: Clock, receivers: Receivers
) -> None:
    for batch in (told_soon := new_batch_id(), new_batch_id()):
        key = input_key(JobId(batch, 1), "cat.jpg")
        world.store.put_image(key, b"x", "image/jpeg")
        one.keeper.keep(batch, [1], URL, None, unheard_for_s=1800)
    one.live(1700)
    world.finish([Request(JobId(told_soon, 1), "", "cat.jpg", None, datetime.now(UTC))])

    one.live(HOLD_S / 2 + 1)

    assert receivers.batches == [told_soon]
    # and then as rarely as any other
    one.live(DAY_S)
    (held,) = one.keeper._holdings.all()
    assert held.look_s == keeping.LONGEST_LOOK_S


def test_the_more_there_are_to_be_looked_for_often_the_rarer_that_is(
    one: Process, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given four that no reply tells of, where two may be looked for often, and one of others
    monkeypatch.setattr(keeping, "OFTEN_LOOKED_FOR", 2)
    upload(world, one)
    for batch in [new_batch_id() for _ in range(4)]:
        world.store.put_image(input_key(JobId(batch, 1), "cat.jpg"), b"x", "image/jpeg")
        one.keeper.keep(batch, [1], URL, None, unheard_for_s=1800)
    calls = counted(world, monkeypatch)

    one.live(1200)

    # then the four are looked for as often as two would be
    of_two = 2 * 1200 / (HOLD_S / 2)
    assert 0.8 * of_two < calls["list_results"] + calls["result_numbers"] < 1.3 * of_two


def test_what_a_process_left_behind_another_one_sends(
    one: Process, two: Process, world: World, receivers: Receivers
) -> None:
    # given a process that ends when its batch is finished, and before anything is sent
    batch = upload(world, one)
    finish(world)

    # when another one finds the note while it is held
    two.live(HOLD_S - 1)
    assert receivers.told == []

    # then it sends once nobody holds it any more
    two.live(5)
    assert receivers.batches == [batch]
    assert notes(world) == []


def test_what_is_not_finished_yet_is_watched_by_who_takes_it_over(
    one: Process, two: Process, world: World, receivers: Receivers
) -> None:
    batch = upload(world, one)
    two.live(3600)

    finish(world)
    two.live(keeping.LONGEST_LOOK_S)

    assert receivers.batches == [batch]
    assert notes(world) == []


def test_a_process_that_starts_finds_what_there_is_and_later_what_others_leave(
    one: Process, two: Process, world: World, receivers: Receivers
) -> None:
    two.step()
    first, second = upload(world, one), upload(world, one)
    finish(world)

    two.live(1.2 * takeover.LIST_EVERY_S + HOLD_S)

    assert sorted(receivers.batches) == [first, second]


def test_who_lives_keeps_what_it_holds(
    one: Process, two: Process, world: World, clock: Clock, receivers: Receivers
) -> None:
    batch = upload(world, one)
    for _ in range(200):
        one.step()
        two.step()
        clock.now += 20

    finish(world, one)
    two.step()
    assert receivers.told == []
    one.step()
    assert receivers.batches == [batch]


def test_of_many_that_take_over_at_once_one_does(
    start: Callable[[str], Process],
    world: World,
    clock: Clock,
    receivers: Receivers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload(world, start("one"))
    finish(world)
    heirs = [start(f"heir {i}") for i in range(6)]
    for heir in heirs:
        heir.step()
    clock.now += 2 * HOLD_S
    # when all of them have read it before the first one writes
    together, write = Barrier(len(heirs)), world.store.write_note

    def write_together(*args: Any) -> str | None:
        together.wait(DEADLINE_S)
        return write(*args)

    monkeypatch.setattr(world.store, "write_note", write_together)
    with ThreadPoolExecutor(len(heirs)) as pool:
        list(pool.map(Process.step, heirs))

    assert len(receivers.told) == 1
    assert notes(world) == []


def test_who_was_only_slow_finds_out_and_sends_nothing(
    one: Process, two: Process, world: World, clock: Clock, receivers: Receivers
) -> None:
    # given a process that stands still until another one has taken its callback over
    upload(world, one)
    one.step()
    two.step()
    clock.now += 2 * HOLD_S
    two.step()

    finish(world, one, two)
    one.step()

    assert receivers.told == []
    two.live(2 * HOLD_S)
    assert len(receivers.told) == 1


def failed(reason: str = "the answer was 500", retry_after_s: float = 0) -> Outcome:
    return Outcome(False, reason, retry_after_s=retry_after_s)


def test_what_is_not_heard_is_sent_again_ever_later_and_given_up_in_the_end(
    one: Process, world: World, receivers: Receivers
) -> None:
    upload(world, one)
    receivers.says = [failed()] * 100
    finish(world, one)

    with capture_logs() as logs:
        one.live(3 * DAY_S)

    # then it was tried once more than there are pauses, which are as planned give or take a fifth
    times = [at for _, at in receivers.told]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert len(pauses) == len(schedule.DELAYS_S)
    for pause, planned in zip(pauses, schedule.DELAYS_S, strict=True):
        assert 0.8 * planned <= pause <= 1.2 * planned + 1
    assert pauses != list(schedule.DELAYS_S)
    assert notes(world) == []
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "callback given up"
    ]


def test_a_receiver_that_comes_back_hears_it(
    one: Process, world: World, receivers: Receivers
) -> None:
    upload(world, one)
    receivers.says = [failed(), failed()]
    finish(world, one)

    one.live(DAY_S)

    assert len(receivers.told) == 3
    assert notes(world) == []


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"),
    [
        (0, 4, 7),
        (1, 4, 7),
        (90, 90, 91),
        (30 * DAY_S, schedule.LONGEST_RETRY_AFTER_S, schedule.LONGEST_RETRY_AFTER_S + 1),
    ],
)
def test_a_receiver_is_left_alone_for_as_long_as_it_asks_within_bounds(
    one: Process,
    world: World,
    receivers: Receivers,
    asked_s: float,
    least_s: float,
    most_s: float,
) -> None:
    upload(world, one)
    receivers.says = [failed("the answer was 429", asked_s)]
    finish(world, one)

    one.live(3 * DAY_S)

    (_, first), (_, second) = receivers.told
    assert least_s <= second - first <= most_s


def test_tries_go_on_where_a_process_ended_amid_them(
    one: Process, two: Process, world: World, receivers: Receivers
) -> None:
    upload(world, one)
    receivers.says = [failed()] * 100
    finish(world, one)
    one.live(100)
    tried = len(receivers.told)
    assert tried >= 2

    two.live(3 * DAY_S)

    assert len(receivers.told) == len(schedule.DELAYS_S) + 1
    assert notes(world) == []


def test_who_plans_the_next_try_is_not_overtaken(
    one: Process, two: Process, world: World, clock: Clock, receivers: Receivers
) -> None:
    upload(world, one)
    receivers.says = [failed()] * 4
    finish(world, one)
    for _ in range(300):
        one.step()
        two.step()
        clock.now += 5

    pauses = [later - earlier for (_, earlier), (_, later) in pairwise(receivers.told)]
    assert len(pauses) == 4
    for pause, planned in zip(pauses, schedule.DELAYS_S, strict=False):
        assert 0.8 * planned <= pause
    assert notes(world) == []


def test_no_other_try_follows_where_the_receiver_wants_none(
    one: Process, world: World, receivers: Receivers
) -> None:
    upload(world, one)
    receivers.says = [Outcome(True, "the answer was 410")]
    finish(world, one)

    one.live(DAY_S)

    assert len(receivers.told) == 1
    assert notes(world) == []


def test_a_fault_of_ours_is_a_try_in_vain_and_holds_up_nobody(
    one: Process, world: World, receivers: Receivers
) -> None:
    first, second = upload(world, one), upload(world, one)
    receivers.says = [RuntimeError("a bug")]
    finish(world, one)

    with capture_logs() as logs:
        one.live(60)

    assert sorted(receivers.batches) == sorted([first, first, second])
    assert notes(world) == []
    assert [line["log_level"] for line in logs if line["event"] == "callback failed"] == ["error"]


def test_a_deleted_batch_calls_nobody_back(
    one: Process, world: World, receivers: Receivers
) -> None:
    batch = upload(world, one)
    world.store.delete_batch(batch)

    one.keeper.drop(batch)

    assert notes(world) == []
    one.live(DAY_S)
    assert receivers.told == []


def test_a_batch_that_another_process_deleted_calls_nobody_back(
    one: Process, two: Process, world: World, receivers: Receivers
) -> None:
    batch = upload(world, one)
    world.store.delete_batch(batch)
    two.keeper.drop(batch)

    one.live(DAY_S)

    assert receivers.told == []
    assert notes(world) == []


def test_the_callback_of_an_upload_that_failed_is_forgotten(
    one: Process, world: World, receivers: Receivers
) -> None:
    """Its images are deleted, and nothing else is said."""
    upload(world, one)
    world.store.images.clear()

    one.live(HOLD_S)

    assert notes(world) == []
    assert receivers.told == []


def test_a_batch_that_never_ends_is_given_up_after_a_week(
    one: Process, world: World, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, one)
    one.live(60)
    assert len(notes(world)) == 1
    monkeypatch.setattr(keeping, "LONGEST_LIFE", -keeping.LONGEST_LIFE)

    one.live(DAY_S)

    assert notes(world) == []
    assert receivers.told == []


def test_a_callback_that_cannot_be_noted_is_an_error(one: Process, world: World) -> None:
    world.store.outage.begin("write_note")

    with pytest.raises(Unavailable):
        upload(world, one)
    assert one.keeper.has_room(None, URL)


@pytest.mark.parametrize("call", ["image_names", "list_results", "write_note", "note_keys"])
def test_while_the_store_does_not_answer_nothing_is_lost(
    one: Process, world: World, receivers: Receivers, call: str
) -> None:
    upload(world, one)
    one.step()
    world.store.outage.begin(call)
    one.live(200)
    finish(world)
    one.live(200)
    world.store.outage.end()

    one.live(keeping.LONGEST_LOOK_S + 2 * HOLD_S + 2 * takeover.LIST_EVERY_S)

    assert len(receivers.told) == 1
    assert notes(world) == []


def test_a_note_that_cannot_be_deleted_is_not_sent_again(
    one: Process, world: World, receivers: Receivers
) -> None:
    upload(world, one)
    world.store.outage.begin("delete_note", times=3)
    finish(world, one)

    one.live(300)

    assert len(receivers.told) == 1
    assert notes(world) == []


def test_a_try_that_cannot_be_noted_is_made_up_for_all_the_same(
    one: Process, world: World, receivers: Receivers
) -> None:
    upload(world, one)
    receivers.says = [failed()]
    receivers.meanwhile = lambda: world.store.outage.begin("write_note", 1)
    finish(world, one)

    one.live(60)

    assert len(receivers.told) == 2
    assert notes(world) == []


def test_the_store_may_fail_while_the_results_are_read(
    one: Process, world: World, receivers: Receivers
) -> None:
    """That is no try: the receiver was not even called."""
    upload(world, one)
    receivers.says = [Unavailable("no answer"), *[failed()] * 7]
    finish(world, one)

    one.live(3 * DAY_S)

    assert len(receivers.told) == 1 + 7 + 1
    assert notes(world) == []


@pytest.mark.parametrize("content", [b"", b"{}", b'{"v":2}', b"\xff", b"[" * 100_000])
def test_a_note_that_nobody_understands_is_left_and_told_of_once(
    one: Process, world: World, receivers: Receivers, content: bytes
) -> None:
    batch = new_batch_id()
    world.store.write_note(callback_key(batch), content)
    other = upload(world, one)

    with capture_logs() as logs:
        one.live(3600)
        finish(world, one)
        one.step()

    assert receivers.batches == [other]
    assert notes(world) == [callback_key(batch)]
    assert [line["log_level"] for line in logs if line.get("batch") == batch] == ["warning"]


def test_a_client_has_so_many_outstanding_and_no_more(one: Process, world: World) -> None:
    for _ in range(3):
        assert one.keeper.has_room("alice", URL)
        upload(world, one, owner="alice")

    assert not one.keeper.has_room("alice", "https://elsewhere.example/")
    assert one.keeper.has_room("bob", URL)
    finish(world, one)
    one.step()
    assert one.keeper.has_room("alice", URL)


def test_without_owners_those_of_one_host_are_counted(one: Process, world: World) -> None:
    for _ in range(3):
        upload(world, one)

    assert not one.keeper.has_room(None, URL + "/other")
    assert one.keeper.has_room(None, "https://elsewhere.example/")


def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the calls to the store from now on."""
    calls: dict[str, int] = {}

    def count(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return real(*args, **more)

        return call

    for name in ("note_keys", "read_note", "write_note", "delete_note", "image_names"):
        monkeypatch.setattr(world.store, name, count(name, getattr(world.store, name)))
        calls[name] = 0
    for name in ("list_results", "result_numbers"):
        monkeypatch.setattr(world.store, name, count(name, getattr(world.store, name)))
        calls[name] = 0
    return calls


def test_a_process_at_rest_lists_once_in_five_minutes_and_does_nothing_else(
    one: Process, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(world, monkeypatch)

    one.live(3600)

    assert {name for name, count in calls.items() if count} == {"note_keys"}
    assert 10 <= calls["note_keys"] <= 16


def test_the_note_of_a_callback_that_goes_well_is_written_once_and_deleted(
    one: Process, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.step()
    calls = counted(world, monkeypatch)

    upload(world, one)
    finish(world, one)
    one.step()

    assert {name: count for name, count in calls.items() if count} == {
        "write_note": 1,
        "delete_note": 1,
    }


def test_the_turn_waits_until_there_is_something_to_do(
    one: Process, world: World, receivers: Receivers
) -> None:
    one.step()
    over = Event()

    def turns() -> None:
        while not over.is_set():
            one.keeper.turn()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(turns)
        batch = upload(world, one)
        finish(world, one)
        eventually(lambda: receivers.batches == [batch])
        over.set()
        one.keeper.close()
        running.result(DEADLINE_S)


# Lanes


def test_one_client_takes_half_of_the_lanes_at_most() -> None:
    lanes, go_on, lock = Lanes(4), Event(), Lock()
    running: list[str] = []
    most: dict[str, int] = {}

    def call(client: str) -> Callable[[], None]:
        def run() -> None:
            with lock:
                running.append(client)
                most[client] = max(most.get(client, 0), running.count(client))
            go_on.wait(DEADLINE_S)
            with lock:
                running.remove(client)
                done.append(client)

        return run

    done: list[str] = []
    for client in ["alice"] * 10 + ["bob"] * 10:
        lanes.run(client, call(client))
    eventually(lambda: len(running) == 4)
    assert sorted(running) == ["alice", "alice", "bob", "bob"]

    go_on.set()
    eventually(lambda: len(done) == 20)
    assert max(most.values()) == 2


def test_a_call_that_fails_gives_its_lane_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    lanes, done = Lanes(1), Event()

    def fail() -> None:
        raise RuntimeError("a bug")

    lanes.run("alice", fail)
    lanes.run("alice", done.set)

    assert done.wait(DEADLINE_S)
