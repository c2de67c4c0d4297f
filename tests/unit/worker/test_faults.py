"""Whatever goes wrong in whatever order: no image is lost, none gets a wrong result."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from structlog.testing import capture_logs

from imagefleet_core.jobs import JobId
from imagefleet_worker.worker import Worker
from worker_tier import CURSED, Tier, finish, label, picture, work

STORE_CALLS = ["get_image", "put_result", "*"]
QUEUE_CALLS = ["receive", "delete", "change_visibility", "*"]
WORKERS = st.sampled_from(["worker-1", "worker-2"])


class Fleet(RuleBasedStateMachine):
    """Two workers on one queue, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.left = ExitStack()
        self.left.enter_context(capture_logs())  # drawing tracebacks takes longer than the test
        # So many tries that no image of a bad day becomes a dead letter.
        self.tier = Tier(Path("/nowhere"), max_receives=1_000_000)
        self.workers: dict[str, Worker] = {}
        self.expected: dict[JobId, str | None] = {}
        self.curse: list[JobId] = []
        for name in ("worker-1", "worker-2"):
            self.start(name)

    def start(self, name: str) -> None:
        self.workers[name] = self.tier.worker(worker_id=name, max_in_flight=20, max_batch=4)

    @initialize(good=st.integers(1, 12), bad=st.integers(0, 3), cursed=st.booleans())
    def images_are_uploaded(self, good: int, bad: int, cursed: bool) -> None:
        colours = [(number, 100, 50) for number in range(good)]
        jobs = self.tier.submit(
            [*(picture(each) for each in colours), *([b""] * bad), *([picture(CURSED)] * cursed)]
        )
        labels = [*(label(each) for each in colours), *([None] * bad)]
        self.expected = dict(zip(jobs, labels, strict=False))
        self.curse = jobs[good + bad :]

    @rule(name=WORKERS)
    def a_worker_receives(self, name: str) -> None:
        if self.workers[name].leases.held() <= 10:
            self.workers[name].consumer.turn()

    @rule(name=WORKERS, stage=st.integers(0, 5))
    def a_stage_takes_a_turn(self, name: str, stage: int) -> None:
        self.workers[name].pipeline.stages[stage].turn()

    @rule(name=WORKERS)
    def a_worker_looks_at_its_leases(self, name: str) -> None:
        self.workers[name].leases.turn()

    @rule(name=WORKERS)
    def a_worker_finishes_what_it_holds(self, name: str) -> None:
        finish(self.workers[name])

    @rule(seconds=st.sampled_from([0.5, 5.0, 25.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.tier.clock.now += seconds

    @rule()
    def the_queue_delivers_again(self) -> None:
        self.tier.requests.redeliver()

    @rule(call=st.sampled_from(STORE_CALLS), times=st.integers(1, 5))
    def the_store_fails(self, call: str, times: int) -> None:
        self.tier.store.outage.begin(call, times)

    @rule(call=st.sampled_from(QUEUE_CALLS), times=st.integers(1, 5))
    def the_queue_fails(self, call: str, times: int) -> None:
        self.tier.requests.outage.begin(call, times)

    @rule(missing=st.booleans())
    def the_reply_queue_comes_or_goes(self, missing: bool) -> None:
        self.tier.replies.missing = missing

    @rule(name=WORKERS)
    def a_worker_is_killed_and_another_starts(self, name: str) -> None:
        self.start(name)

    @rule(name=WORKERS)
    def a_worker_gives_back_and_another_starts(self, name: str) -> None:
        self.workers[name].farewell()
        self.start(name)

    @invariant()
    def no_image_is_lost(self) -> None:
        queued = "".join(self.tier.requests.bodies())
        for job in [*self.expected, *self.curse]:
            assert self.tier.found(job) or str(job) in queued, f"{job} is lost"

    @invariant()
    def no_result_is_wrong(self) -> None:
        for job, expected in self.expected.items():
            result = self.tier.found(job)
            assert result is None or result.label == expected

    def teardown(self) -> None:
        with self.left:
            self.all_is_well_again_and_everything_gets_done()

    def all_is_well_again_and_everything_gets_done(self) -> None:
        self.tier.store.outage.end()
        self.tier.requests.outage.end()
        for _ in range(15):
            self.tier.clock.now += 61
            for worker in self.workers.values():
                worker.leases.turn()
                work(worker)
        for job, expected in self.expected.items():
            assert self.tier.result(job).label == expected
        assert len(self.tier.requests.bodies()) == len(self.curse)
        assert [worker.leases.held() for worker in self.workers.values()] == [0, 0]


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
