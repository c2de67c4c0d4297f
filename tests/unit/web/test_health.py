from __future__ import annotations

from threading import Event

from imagefleet_web.readiness import FRESH_S, Readiness
from web_tier import DEADLINE_S, REQUESTS, Web, World, eventually


def test_health_asks_nobody(web: Web, world: World) -> None:
    world.store.outage.begin()
    world.queues.outage.begin()
    world.requests.outage.begin()

    assert web.get("/healthz").json == {"status": "ok"}


def test_a_process_that_could_serve_is_ready(web: Web) -> None:
    answer = web.get("/readyz")

    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_a_process_that_could_not_says_why(web: Web, world: World) -> None:
    world.store.outage.begin()
    world.queues.remove(REQUESTS)

    answer = web.get("/readyz")

    assert answer.status_code == 503
    assert answer.json["faults"]["store"].startswith("ping: nothing answers")
    assert REQUESTS in answer.json["faults"]["queue"]


def test_what_is_known_is_told_for_two_seconds(world: World) -> None:
    now = 100.0
    readiness = Readiness(world.store, world.requests, clock=lambda: now)
    assert readiness.faults() == {}
    world.store.outage.begin()

    now += FRESH_S - 0.1
    assert readiness.faults() == {}

    now += 0.2
    assert readiness.faults().keys() == {"store"}


def test_a_check_that_hangs_is_told_and_holds_up_nobody(world: World) -> None:
    # given a store that hangs
    go_on, times = Event(), 0

    def ping() -> None:
        nonlocal times
        times += 1
        assert go_on.wait(DEADLINE_S)

    now = 100.0
    readiness = Readiness(world.store, world.requests, clock=lambda: now, patience_s=0.01)
    readiness._checks["store"] = ping

    # then that is what everybody is told, though it is asked only once
    for _ in range(3):
        assert readiness.faults()["store"] == "no answer for 0.01 s"
        now += FRESH_S
    assert times == 1

    # until it answers
    go_on.set()
    eventually(lambda: readiness.faults() == {})
    readiness.close()
