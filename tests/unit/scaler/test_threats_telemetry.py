"""Whoever breaks into a worker may write any report; the scaler and its fleet keep in bounds."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fake_provider import FakeProvider, Machines
from fakes import MemoryQueues
from imagefleet_core import fields
from imagefleet_core.telemetry import Report, WorkerState
from imagefleet_scaler.boots import Boots
from imagefleet_scaler.fleet import Fleet
from imagefleet_scaler.loop import Loop
from imagefleet_scaler.policy import PolicyConfig
from imagefleet_scaler.telemetry import Telemetry

CONFIG = PolicyConfig(max_workers=5, target_s=10, service_s=1, scale_in_after_s=60)


class System:
    """A scaler on fakes, on a clock that the test moves, with one worker at work."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.machines = Machines()
        self.provider = FakeProvider(self.machines)
        queues = MemoryQueues(clock=lambda: self.now)
        self.requests, self.telemetry = queues.add("requests"), queues.add("telemetry")
        self.loop = Loop(
            requests=self.requests,
            telemetry=Telemetry(self.telemetry),
            provider=self.provider,
            fleet=Fleet(boots=Boots(120), lost_after_s=60),
            config=CONFIG,
        )
        self.requests.send(["image"])
        self.turn()
        (self.there,) = self.workers()
        self.report(self.there, WorkerState.BUSY)
        self.turn()

    def turn(self) -> None:
        """Two seconds later the scaler looks, and comes to the end of it."""
        self.now += 2
        self.machines.now = self.now
        assert self.loop.turn(self.now) is not None

    def workers(self) -> list[str]:
        return [instance.id for instance in self.provider.list()]

    def report(self, worker: str, state: WorkerState) -> None:
        at = datetime.fromtimestamp(self.now, UTC)
        self.telemetry.send([Report(worker, state, at, 0, 0, 0, 0).encode()])

    def finish(self) -> None:
        """Let the workers do all there is, and say that they are idle."""
        while some := self.requests.receive(wait_s=0, visibility_s=60):
            self.requests.delete([message.receipt for message in some])
        for worker in self.workers():
            self.report(worker, WorkerState.IDLE)


# One that is there (mostly), one that never was, and what is no name at all.
names = st.sampled_from(["THERE"] * 4 + ["worker-nobody", "w" * 10_000, "<script>\n"])
counts = st.sampled_from([0, 1, 1000, fields.MOST, fields.MOST + 1, 10**400, -1, True])
seconds = st.sampled_from([0, 0.1, 86_400, 1e9, 1e308, -1, -1e308, 10**400, None])
times = st.sampled_from(
    [
        "2027-01-15T08:00:06.000Z",  # the test's own now
        "2027-01-15T09:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00.000Z",
        "soon",
    ]
)
forged_reports = st.fixed_dictionaries(
    {
        "v": st.just(1),
        "worker": names,
        "state": st.sampled_from([*WorkerState, "asleep"]),
        "at": times,
        "in_flight": counts,
        "done": counts,
        "failed": st.just(0),
        "service_s": seconds,
        "oldest_s": seconds,
        "newest_at": times,
    }
)
forged_announcements = st.fixed_dictionaries({"v": st.just(1), "announced": counts, "at": times})


@settings(max_examples=100)
@given(forged=st.lists(st.lists(forged_reports | forged_announcements, max_size=5), max_size=4))
def test_no_forged_telemetry_stops_the_scaler_or_grows_the_fleet_beyond_its_cap(
    forged: list[list[dict[str, object]]],
) -> None:
    system = System()

    # when somebody with a worker's rights writes what they like
    with capture_logs():
        for messages in forged:
            for message in messages:
                system.telemetry.send([json.dumps(message).replace("THERE", system.there)])

            # then every turn comes to its end, within the cap
            system.turn()
            assert len(system.workers()) <= CONFIG.max_workers

        # and once there is no work, nobody is paid for long
        for _ in range(200):
            system.finish()
            system.turn()
    assert system.workers() == []


def test_a_forged_report_from_the_future_silences_no_worker() -> None:
    # given a report in a worker's name from the end of all years
    system = System()
    late = {"v": 1, "worker": system.there, "state": "busy", "at": "9999-12-31T23:59:59.999Z"}
    counts = {"in_flight": 1, "done": 0, "failed": 0, "service_s": 0}
    system.telemetry.send([json.dumps(late | counts)])
    system.turn()

    # when the worker itself goes on reporting for longer than a silent one is given
    for _ in range(100):
        system.report(system.there, WorkerState.BUSY)
        system.turn()

    # then it is still there, and nobody was launched in its place
    assert system.workers() == [system.there]
