"""Whatever AWS does to the workers: each image gets one result, the right one, and none is lost."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fault_kinds import (
    SQS,
    Conflict,
    Dripping,
    Duplicate,
    Expired,
    Fault,
    Garbled,
    Hold,
    Injected,
    InternalError,
    Refused,
    Reorder,
    Reset,
    Short,
    SlowDown,
    Throttled,
    Unanswered,
)
from fault_proxy import FaultProxy
from imagefleet_core.jobs import JobId
from place import Place, place_on
from system import PHOTOGRAPHS, SAMPLES, photographs, wait_for

pytestmark = pytest.mark.embedded

WORKERS = ("worker-1", "worker-2")
IMAGES = 30
DONE_S = 180
SILENCE_S = 60
EXIT_S = 120
# What a worker takes that is killed, or whose answer gets lost, is there again this soon.
SHORT_VISIBILITY = {"IMAGEFLEET_VISIBILITY_S": "3", "IMAGEFLEET_THREADS": "1"}

# Keeps work from being over before something else happens amid it.
SLOW = Hold(calls={"PutObject"}, seconds=5, after=10)

# What the handlers of a worker never expect; it survives that, but it is a defect.
UNEXPECTED = ("Traceback", "could not be worked on", "a turn failed")


@dataclass
class Fleet:
    """Two workers whose AWS is a fault proxy."""

    place: Place
    proxy: FaultProxy
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def work_through(self, jobs: list[JobId]) -> None:
        """Wait until nothing is left to do, then check what was done."""
        place = self.place
        wait_for(lambda: place.finished(jobs) == len(jobs), DONE_S)
        wait_for(lambda: not self.proxy.kept() and not place.requests.counts().total, DONE_S)
        place.verify(jobs)
        assert place.dead_letters.counts().total == 0

    def stop(self) -> None:
        """Tell the workers to go, and check that they leave nothing unfinished behind."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(EXIT_S) for process in self.processes] == [0] * len(self.processes)
        self.place.verify()
        assert self.place.requests.counts().total == 0
        assert self.place.dead_letters.counts().total == 0
        for name in WORKERS[: len(self.processes)]:
            said = self.place.log(name)
            assert not [each for each in UNEXPECTED if each in said], said

    def failed(self) -> set[JobId]:
        """Return the jobs that a worker took for failed."""
        return {
            JobId.parse(each["job"]) for each in self.events() if each["event"] == "image failed"
        }

    def events(self) -> list[dict[str, Any]]:
        """Return what all the workers have said."""
        said = "".join(self.place.log(name) for name in WORKERS[: len(self.processes)])
        return [json.loads(line) for line in said.splitlines()]


def fleet_on(
    left: ExitStack,
    emulator: str,
    folder: Path,
    *,
    workers: int = 2,
    seed: int = 0,
    max_receives: int = 5,
) -> Fleet:
    """Start workers whose AWS is a fault proxy, all ended when `left` is."""
    proxy = left.enter_context(FaultProxy(emulator, seed))
    place = left.enter_context(
        place_on(emulator, folder, endpoint=proxy.url, max_receives=max_receives)
    )
    fleet = Fleet(place, proxy)
    for name in WORKERS[:workers]:
        fleet.processes.append(left.enter_context(place.worker(name, **SHORT_VISIBILITY)))
    place.await_worker(WORKERS[workers - 1])
    return fleet


@pytest.fixture(scope="module", autouse=True)
def silent(
    request: pytest.FixtureRequest, ministack: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, list[JobId]] | None]:
    """Workers to whom nobody has answered since this module began, in the middle of their work.

    It takes a minute, so it goes on beside the other tests.
    """
    if not any("a_minute_of_silence" in each.name for each in request.session.items):
        yield None
        return
    with ExitStack() as left:
        fleet = fleet_on(left, ministack, tmp_path_factory.mktemp("silence"))
        slow = fleet.proxy.inject(SLOW)
        jobs = fleet.place.submit(photographs(3 * IMAGES))
        wait_for(lambda: fleet.place.finished(jobs) >= 10, DONE_S)
        fleet.proxy.silence(SILENCE_S)
        slow.end()
        assert fleet.place.finished(jobs) < len(jobs)
        yield fleet, jobs


@pytest.fixture(scope="module")
def working(ministack: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Workers that live through all the faults of this module, one after the other."""
    with ExitStack() as left:
        fleet = fleet_on(left, ministack, tmp_path_factory.mktemp("faults"))
        yield fleet
        fleet.stop()


@pytest.fixture
def fleet(working: Fleet) -> Iterator[Fleet]:
    yield working
    working.proxy.relent()


HANDLES = "ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"
DELETE, EXTEND = frozenset({"DeleteMessageBatch"}), frozenset({"ChangeMessageVisibilityBatch"})
GET, PUT, RECEIVE = (
    frozenset({"GetObject"}),
    frozenset({"PutObject"}),
    frozenset({"ReceiveMessage"}),
)
# So that images are held for long enough to be extended.
LONG_WORK = Hold(calls=GET, seconds=3, times=6)

FAULTS: dict[str, Sequence[Fault]] = {
    "messages are delivered twice": [Duplicate(share=0.5)],
    "messages are delivered again after they were deleted": [Duplicate(share=0.3, after_s=1.5)],
    "messages come out of order": [Reorder(share=0.5)],
    **{f"receipts have expired: {code}": [Expired(share=0.3, code=code)] for code in HANDLES},
    "receipts expire while images are worked on": [
        Expired(calls=EXTEND, times=8),
        LONG_WORK,
    ],
    "deletions are refused one by one": [Refused(calls=DELETE, share=0.4)],
    "extensions are refused one by one": [Refused(calls=EXTEND, times=8), LONG_WORK],
    "S3 slows down": [SlowDown(share=0.25)],
    "S3 has internal errors": [InternalError(calls=GET | PUT, share=0.25)],
    "S3 stores a result and says that it did not": [InternalError(calls=PUT, done=True, times=8)],
    "SQS throttles": [Throttled(times=12)],
    "SQS throttles in other words": [Throttled(times=12, code="ThrottlingException")],
    "SQS has internal errors": [
        InternalError(calls=SQS - RECEIVE, code="InternalFailure", times=6, done=True),
        InternalError(calls=RECEIVE, code="ServiceUnavailable", status=503, times=4),
    ],
    "connections to S3 are reset in the middle": [Reset(calls=GET, share=0.3)],
    "connections to SQS are reset in the middle": [
        Reset(calls=SQS - RECEIVE, times=6),
        Reset(calls=RECEIVE, times=2),
    ],
    "images end too early": [Short(share=0.3)],
    "images come in drops": [Dripping(seconds=2, times=8)],
    "what was done is not answered": [
        Unanswered(calls=(PUT | SQS) - RECEIVE, times=8),
        Unanswered(calls=RECEIVE, times=2),
    ],
    "calls are held for seconds": [Hold(seconds=3, share=0.2, times=8)],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_every_image_gets_its_label_though(fleet: Fleet, faults: Sequence[Fault]) -> None:
    injected: list[Injected[Any]] = [fleet.proxy.inject(fault) for fault in faults]

    jobs = fleet.place.submit(photographs(IMAGES))
    fleet.work_through(jobs)

    assert all(each.count > 0 for each in injected), injected


def test_every_image_gets_its_label_though_connections_are_refused(fleet: Fleet) -> None:
    slow = fleet.proxy.inject(SLOW)
    jobs = fleet.place.submit(photographs(2 * IMAGES))
    wait_for(lambda: fleet.place.finished(jobs) >= 10, DONE_S)

    fleet.proxy.refuse()
    slow.end()
    wait_for(lambda: any("nothing answers" in str(each) for each in fleet.events()), DONE_S)
    assert fleet.place.finished(jobs) < len(jobs)
    fleet.proxy.accept()

    fleet.work_through(jobs)


def test_every_broken_image_gets_its_failure_though_writes_conflict(fleet: Fleet) -> None:
    conflicts = fleet.proxy.inject(Conflict(share=0.4))
    unanswered = fleet.proxy.inject(Unanswered(conditional=True, calls=PUT, times=4))
    whole = (SAMPLES / "coffee.jpg").read_bytes()

    jobs = fleet.place.submit_files(("broken.jpg", whole[: 9000 + n], None) for n in range(IMAGES))
    fleet.work_through(jobs)

    assert conflicts.count > 0 < unanswered.count


def test_a_late_failure_never_hides_a_label(fleet: Fleet) -> None:
    # given images that are delivered twice; one of the two can't be read, and its failure is late
    twice = fleet.proxy.inject(Duplicate())
    garbled = fleet.proxy.inject(Garbled(each=1))
    late = fleet.proxy.inject(Hold(calls=PUT, conditional=True, seconds=2))

    jobs = fleet.place.submit(PHOTOGRAPHS)
    wait_for(lambda: late.count == len(jobs), DONE_S)
    fleet.work_through(jobs)

    # On a slow machine a message may come again by itself, its visibility having run out.
    assert twice.count > 0
    assert garbled.count == len(jobs)
    # and the failures came after the labels, to no avail
    wait_for(lambda: fleet.failed() >= set(jobs), DONE_S)
    fleet.place.verify(jobs)


def test_nothing_is_lost_in_a_storm_of_all_of_it(
    ministack: str, tmp_path: Path, rounds: int
) -> None:
    for seed in range(rounds):
        storm(ministack, tmp_path / str(seed), seed)


def test_a_minute_of_silence_costs_no_image(silent: tuple[Fleet, list[JobId]]) -> None:
    fleet, jobs = silent
    wait_for(lambda: fleet.proxy.silent_s() == 0, SILENCE_S)

    fleet.work_through(jobs)

    assert fleet.proxy.silenced > 0
    events = {each["event"] for each in fleet.events()}
    assert events >= {"AWS does not answer, trying on", "AWS answers again"}
    fleet.stop()


def storm(emulator: str, folder: Path, seed: int) -> None:
    """Let everything happen at once, to so many tries that no image becomes a dead letter."""
    folder.mkdir()
    share = 0.06
    faults: list[Fault] = [
        Duplicate(share=0.2),
        Duplicate(share=0.1, after_s=2),
        Reorder(share=0.2),
        Expired(share=0.1),
        Refused(share=0.1),
        SlowDown(share=share),
        InternalError(share=share),
        InternalError(share=share, done=True),
        Throttled(share=share),
        Reset(share=share),
        Short(share=share),
        Dripping(share=share, seconds=0.5),
        Unanswered(share=share),
        Hold(share=0.02, seconds=1),
        Conflict(share=0.3),
    ]
    with ExitStack() as left:
        fleet = fleet_on(left, emulator, folder, seed=seed, max_receives=1000)
        injected = [fleet.proxy.inject(fault) for fault in faults]
        whole = (SAMPLES / "coffee.jpg").read_bytes()
        jobs = fleet.place.submit(photographs(2 * IMAGES))
        broken = fleet.place.submit_files(
            ("broken.jpg", whole[: 9000 + n], None) for n in range(IMAGES // 2)
        )
        fleet.work_through(jobs)
        fleet.work_through(broken)
        fleet.proxy.relent()
        fleet.stop()
    assert all(each.count > 0 for each in injected), injected
