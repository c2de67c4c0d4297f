from __future__ import annotations

from threading import Event

from imagefleet_web.readiness import FRESH_S, Readiness
from web_tier import REQUESTS, Meanwhile, Web, World


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


def test_a_check_that_hangs_holds_up_nobody_else(web: Web, world: World) -> None:
    # given a store that hangs in the middle of the first check
    asked, go_on = Event(), Event()

    def ping() -> None:
        asked.set()
        go_on.wait()

    readiness = Readiness(world.store, world.requests)
    readiness._checks["store"] = ping
    web.services.readiness._checks["store"] = ping
    first = Meanwhile(lambda: web.get("/readyz"))
    asked.wait()

    answer = web.get("/readyz")
    assert answer.status_code == 503
    assert "still running" in answer.json["faults"]["check"]

    go_on.set()
    assert first.answer().status_code == 200
