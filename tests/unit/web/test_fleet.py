"""What is told of the fleet, and when somebody looks for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from fakes import MemoryStore
from imagefleet_core.errors import Unavailable
from imagefleet_core.fleet import REST_S, FleetReport, Point, QueueReport, WorkerReport
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_web.calls import Calls
from imagefleet_web.keys import make
from imagefleet_web.scaling import fleet_events
from imagefleet_web.scaling.fleet import OVERDUE_S, PACE_S, SLACK_S, Fleet
from served import served
from web_tier import CHELSEA, DEADLINE_S, Answer, Web, World, eventually

NOW = datetime(2026, 1, 31, 12, 0, 0, 0, UTC)


def point(after_s: float) -> Point:
    return Point(NOW + timedelta(seconds=after_s), 90, 10, 4, 3, 4, int(after_s))


REPORT = FleetReport(
    at=NOW,
    fresh_s=24,
    queue=QueueReport(90, 10, 0, 1.5),
    workers=(WorkerReport("w-1", "busy", NOW, 3, 120, 1, 0.015, 41.2),),
    desired=4,
    min_workers=0,
    max_workers=20,
    decisions=(),
    cost=None,
    history=(point(0), point(5)),
    done=120,
)
AT_REST = replace(REPORT, fresh_s=None, queue=QueueReport(0, 0, 0, None), workers=())


def write(store: MemoryStore, report: FleetReport | bytes) -> None:
    """Write the report as the scaler does."""
    note = store.read_note(FLEET_REPORT)
    body = report if isinstance(report, bytes) else report.encode().encode()
    assert store.write_note(FLEET_REPORT, body, replacing=note.version if note else "")


class Looks:
    """A look-out for the fleet on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.waiting: int | None = None
        self.store = MemoryStore(lambda: self.now)
        self.reads = 0
        self.fleet = Fleet(
            self.store, Calls(1, 60), waiting=lambda: self.waiting, clock=lambda: self.now
        )
        read = self.store.read_note

        def counting(key: str) -> Any:
            self.reads += 1
            return read(key)

        self.store.read_note = counting  # type: ignore[method-assign]

    def live_after(self, seconds: float) -> bool:
        """Return whether the scaler is known to be at work so much later."""
        self.now += seconds
        return self.fleet.look().live


@pytest.fixture
def looks() -> Iterator[Looks]:
    looks = Looks()
    yield looks
    looks.fleet.close()


# Looking


def test_a_fleet_nobody_ever_wrote_of_is_not_live(looks: Looks) -> None:
    sight = looks.fleet.look()

    assert (sight.report, sight.live) == (None, False)


def test_the_report_is_read_at_most_once_a_second(looks: Looks) -> None:
    write(looks.store, REPORT)
    looks.reads = 0
    for _ in range(10):
        assert looks.fleet.look().report == REPORT
    assert looks.reads == 1

    looks.now += PACE_S
    looks.fleet.look()
    assert looks.reads == 2


def test_many_who_ask_at_once_share_one_look(looks: Looks) -> None:
    write(looks.store, REPORT)
    looks.reads = 0
    threads = [threading.Thread(target=looks.fleet.look) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert looks.reads == 1


class Silence:
    """A store that answers nobody until the test says so, half a minute later on its clock."""

    def __init__(self, looks: Looks) -> None:
        self.over = threading.Event()
        self.asked = 0
        self._looks = looks
        looks.store.read_note = self._read  # type: ignore[method-assign]

    def _read(self, key: str) -> Any:
        self.asked += 1
        assert self.over.wait(DEADLINE_S)
        self._looks.now += 31
        raise Unavailable("no answer for half a minute")


def waiters(looks: Looks) -> int:
    return len(looks.fleet._answered._waiters)  # type: ignore[attr-defined]


def test_many_who_ask_a_silent_store_at_once_share_what_comes_of_it(looks: Looks) -> None:
    silence = Silence(looks)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(looks.fleet.look) for _ in range(8)]
        eventually(lambda: waiters(looks) == 8)

        silence.over.set()

        for each in asked:
            with pytest.raises(Unavailable, match="half a minute"):
                each.result(DEADLINE_S)
    assert silence.asked == 1


def test_what_is_known_is_told_while_the_store_is_silent(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagefleet_web.scaling.fleet.PATIENCE_S", 0.01)
    write(looks.store, REPORT)
    assert looks.live_after(0)
    silence = Silence(looks)

    with ThreadPoolExecutor(1) as pool:
        for seconds, live in [(PACE_S, True), (24, False)]:
            looks.now += seconds
            sight = pool.submit(looks.fleet.look).result(DEADLINE_S)
            assert (sight.report, sight.live) == (REPORT, live)
        assert silence.asked == 1
        silence.over.set()
        eventually(lambda: not looks.fleet._asking)


def test_a_fleet_at_work_is_live_for_as_long_as_its_report_is_fresh(looks: Looks) -> None:
    write(looks.store, REPORT)

    assert looks.live_after(0)
    assert looks.live_after(24)
    assert not looks.live_after(1)

    write(looks.store, replace(REPORT, desired=5))
    assert looks.live_after(PACE_S)


def test_the_age_is_told_by_the_store_and_not_by_the_hosts_clocks(looks: Looks) -> None:
    write(looks.store, replace(REPORT, at=NOW + timedelta(days=365)))
    assert looks.live_after(0)

    write(looks.store, replace(REPORT, at=NOW - timedelta(days=365)))
    assert looks.live_after(PACE_S)


def test_a_scaler_that_said_farewell_is_not_live(looks: Looks) -> None:
    write(looks.store, replace(REPORT, fresh_s=0))
    looks.now += 1

    assert not looks.fleet.look().live


def test_a_fleet_at_rest_stays_live_while_nothing_waits(looks: Looks) -> None:
    write(looks.store, AT_REST)
    for waiting in (None, 0):
        looks.waiting = waiting
        assert looks.live_after(REST_S / 2)

    assert not looks.live_after(SLACK_S + 1)  # it writes once a day


def test_a_fleet_that_rests_though_images_wait_is_not_live(looks: Looks) -> None:
    write(looks.store, AT_REST)
    looks.waiting = 3

    assert looks.live_after(0)
    assert looks.live_after(OVERDUE_S)
    assert not looks.live_after(1)

    looks.waiting = 0
    assert looks.live_after(1)


def test_what_is_known_is_remembered_through_an_outage_and_grows_old(looks: Looks) -> None:
    write(looks.store, REPORT)
    looks.fleet.look()
    looks.store.outage.begin("read_note")

    with capture_logs() as logs:
        assert looks.live_after(10)
        assert not looks.live_after(20)
        assert looks.fleet.look().report == REPORT

    assert [entry["log_level"] for entry in logs] == ["warning"]

    looks.store.outage.end()
    write(looks.store, replace(REPORT, desired=5))
    assert looks.live_after(PACE_S)


def test_a_store_that_never_answered_is_no_empty_fleet(looks: Looks) -> None:
    looks.store.outage.begin("read_note")
    for _ in range(3):
        with pytest.raises(Unavailable):
            looks.fleet.look()

    looks.store.outage.end()
    looks.now += PACE_S
    assert looks.fleet.look().report is None


def test_a_report_that_is_deleted_is_not_live_any_more(looks: Looks) -> None:
    write(looks.store, REPORT)
    assert looks.live_after(0)
    looks.store.delete_note(FLEET_REPORT)

    assert not looks.live_after(PACE_S)


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"v":2}', b"{}"])
def test_a_report_that_cannot_be_understood_is_none_and_said_once(
    looks: Looks, body: bytes
) -> None:
    write(looks.store, body)

    with capture_logs() as logs:
        for _ in range(3):
            assert not looks.live_after(PACE_S)

    assert [entry["log_level"] for entry in logs] == ["warning"]


# Asking


def test_a_fleet_is_told_as_the_scaler_wrote_it(web: Web, world: World) -> None:
    write(world.store, REPORT)

    told = web.get("/api/v1/fleet").json

    assert told == {"live": True, **REPORT.told()}
    assert list(told)[:2] == ["at", "live"]


def test_a_fleet_nobody_wrote_of_has_the_same_fields(web: Web, world: World) -> None:
    unheard = web.get("/api/v1/fleet").json

    assert unheard.keys() == {"live", *REPORT.told()}
    assert unheard["queue"].keys() == REPORT.told()["queue"].keys()
    assert (unheard["at"], unheard["live"], unheard["workers"]) == (None, False, [])


@pytest.mark.parametrize("path", ["/api/v1/fleet", "/api/v1/fleet/events"])
def test_a_store_that_does_not_answer_is_a_problem(web: Web, world: World, path: str) -> None:
    world.store.outage.begin("read_note")

    answer = web.get(path)

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert web.services.seats.take()


@pytest.mark.parametrize("path", ["/api/v1/fleet", "/api/v1/fleet/events"])
def test_any_key_may_see_the_fleet_and_nobody_without_one(
    world: World, tmp_path: Path, path: str
) -> None:
    key, line = make("alice")
    (tmp_path / "keys").write_text(line)
    web = Web(world, api_keys_file=str(tmp_path / "keys"))

    with_key = web.get(path, buffered=False, headers={"X-Api-Key": key})

    assert (web.get(path).status_code, with_key.status_code) == (401, 200)
    with_key.close()


# Watching


def stream(web: Web, **options: Any) -> Answer:
    return web.get("/api/v1/fleet/events", buffered=False, **options)


def events(answer: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a stream: the id and data of each event."""
    deadline = time.monotonic() + DEADLINE_S
    for block in answer.iter_encoded():
        assert time.monotonic() < deadline, f"no event within {DEADLINE_S} s"
        fields = dict(
            line.split(": ", 1)
            for line in block.decode().splitlines()
            if line and not line.startswith(":")
        )
        if "data" in fields:
            assert fields["event"] == "fleet"
            yield fields.get("id", ""), json.loads(fields["data"])


def seconds(told: dict[str, Any]) -> list[int]:
    """Return when the points of a history are, in seconds after its beginning."""
    return [each["done"] for each in told["history"]]


def look_again(web: Web) -> None:
    """Have the thread's next look come now."""
    web.services.fleet._asked_at = float("-inf")
    web.services.fleet.turn()


def test_each_change_is_told_with_the_points_that_are_new(web: Web, world: World) -> None:
    write(world.store, REPORT)
    told = events(stream(web))

    event_id, first = next(told)
    assert first == web.get("/api/v1/fleet").json
    assert event_id == first["history"][-1]["at"]

    write(world.store, replace(REPORT, desired=5, history=(*REPORT.history, point(10), point(15))))
    look_again(web)
    event_id, second = next(told)
    assert (second["desired"], seconds(second)) == (5, [10, 15])
    assert event_id == second["history"][-1]["at"]

    write(world.store, replace(REPORT, desired=6, history=(*REPORT.history, point(10), point(15))))
    look_again(web)
    again, third = next(told)
    assert (third["desired"], seconds(third), again) == (6, [], event_id)


def test_a_scaler_that_falls_silent_is_told_of_though_nothing_is_written(
    web: Web, world: World
) -> None:
    write(world.store, replace(REPORT, fresh_s=1e-9))
    told = events(stream(web))
    assert next(told)[1]["live"] is False

    write(world.store, replace(REPORT, desired=5))
    look_again(web)
    assert next(told)[1]["live"] is True


def test_one_that_reconnects_is_told_only_newer_points(web: Web, world: World) -> None:
    write(world.store, REPORT)
    last, _ = next(events(stream(web)))
    write(world.store, replace(REPORT, history=(*REPORT.history, point(10))))

    other = Web(world)
    _, told = next(events(stream(other, headers={"Last-Event-ID": last})))

    assert seconds(told) == [10]
    other.services.close()


@pytest.mark.parametrize(
    "last",
    [
        "",
        "x",
        "7",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2099-01-01T00:00:00.000Z",
        "\xe4",
        "9" * 999,
    ],
)
def test_one_whose_last_event_is_none_of_ours_is_told_everything(
    web: Web, world: World, last: str
) -> None:
    write(world.store, REPORT)

    _, told = next(events(stream(web, headers={"Last-Event-ID": last})))

    assert seconds(told) == [0, 5]


def test_a_fleet_without_a_history_has_events_without_an_id(web: Web, world: World) -> None:
    told = events(stream(web))
    assert next(told)[0] == ""

    write(world.store, replace(REPORT, history=()))
    look_again(web)
    assert next(told)[0] == ""


def test_a_stream_is_neither_kept_nor_buffered_on_its_way(web: Web) -> None:
    answer = stream(web)

    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    answer.close()


def test_a_silent_stream_shows_that_it_is_alive(web: Web) -> None:
    fleet = web.services.fleet

    told = fleet_events.stream(fleet, fleet.look(), heartbeat_s=0.001)

    assert next(told).startswith("retry:")
    assert next(told).startswith("event: fleet")
    assert [next(told) for _ in range(3)] == [": alive\n\n"] * 3


def test_watching_takes_a_seat_that_is_free_again_afterwards(world: World) -> None:
    web = Web(world, max_waiting=1)
    for reads in (0, 1, 0):
        answer = stream(web)
        told = events(answer)
        for _ in range(reads):
            next(told)
        assert stream(web).status_code == 503
        answer.close()

    assert web.services.seats.take()


def test_a_process_that_stops_ends_its_streams_for_the_client_to_reconnect(web: Web) -> None:
    told = events(stream(web))
    next(told)

    web.services.close()

    assert list(told) == []
    assert len(list(events(stream(web)))) == 1


def test_the_thread_reads_only_while_somebody_watches(looks: Looks) -> None:
    def take_turns() -> None:
        while not looks.fleet._closed:
            looks.fleet.turn()
            looks.now += PACE_S

    def sleeps() -> bool:
        return len(looks.fleet._changed._waiters) == 1  # type: ignore[attr-defined]

    thread = threading.Thread(target=take_turns, daemon=True)
    thread.start()
    eventually(sleeps)
    assert looks.reads == 0

    with looks.fleet.watched():
        eventually(lambda: looks.reads >= 3)
    eventually(sleeps)

    looks.fleet.close()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_those_who_watch_are_woken_by_the_thread(web: Web, world: World) -> None:
    """With the real thread, and a scaler that begins while somebody watches."""
    web.services.background.start()
    told = events(stream(web))
    assert next(told)[1]["live"] is False

    write(world.store, REPORT)

    assert next(told)[1]["live"] is True


def test_images_that_wait_for_a_scaler_at_rest_are_noticed(
    web: Web, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("fleet.OVERDUE_S", "fleet.PACE_S", "backlog.FRESH_S"):
        monkeypatch.setattr(f"imagefleet_web.scaling.{limit}", 0)
    write(world.store, AT_REST)
    assert web.get("/api/v1/fleet").json["live"] is True

    web.upload(("1.jpg", CHELSEA))

    eventually(lambda: web.services.backlog.images())
    eventually(lambda: web.get("/api/v1/fleet").json["live"] is False)


def test_a_server_that_stops_lets_those_go_who_watch(tmp_path: Path) -> None:
    drain_s = 40
    with (
        served(tmp_path / "log", drain_s=drain_s) as server,
        requests.get(f"{server.url}api/v1/fleet/events", stream=True, timeout=DEADLINE_S) as answer,
    ):
        lines = answer.iter_lines(chunk_size=1)
        assert any(line == b"event: fleet" for line in lines)

        server.process.terminate()
        began = time.monotonic()

        assert not any(line.startswith(b"event:") for line in lines)
        assert server.process.wait(DEADLINE_S) == 0
        # Others, that don't end by themselves, would be given so long.
        assert time.monotonic() - began < drain_s
