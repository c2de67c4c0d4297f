"""When results are worth hearing of; and that a process at rest makes hardly any calls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from clock import Clock
from imagefleet_core.jobs import new_batch_id
from imagefleet_web.background import Turn
from imagefleet_web.telling.attention import LATELY_S, REMEMBERED, Attention
from imagefleet_web.telling.hub import Hub
from web_tier import CHELSEA, DEADLINE_S, Web, World, eventually

SOON, NEVER = 0.0, 1000.0
# Turns that make no call before somebody uploads, or looks at the fleet.
SLEEPERS = {"announcing new work", "watching the fleet"}


def test_nobody_needs_results_at_first() -> None:
    attention = Attention(Hub())

    assert not attention.needed()
    assert not attention.wait(SOON)


def test_results_of_late_uploads_are_needed_for_a_while() -> None:
    clock, batch = Clock(), new_batch_id()
    attention = Attention(Hub(), clock=clock)
    attention.expect(batch)

    clock.now += LATELY_S - 1
    assert attention.needed()
    assert attention.expects(batch)
    clock.now += 2
    assert not attention.needed()
    assert not attention.expects(batch)


def test_results_are_needed_while_somebody_waits_for_some() -> None:
    hub = Hub()
    attention = Attention(hub)

    with hub.watch(new_batch_id(), [1]):
        assert attention.needed()
    assert not attention.needed()


def test_only_batches_of_this_process_are_expected_and_not_too_many() -> None:
    attention, batches = Attention(Hub()), [new_batch_id() for _ in range(REMEMBERED + 1)]
    for batch in batches:
        attention.expect(batch)

    assert not attention.expects(new_batch_id())
    assert not attention.expects(batches[0])
    assert all(attention.expects(batch) for batch in batches[1:])


def watch_a_batch(hub: Hub, _: Attention) -> None:
    hub.watch(new_batch_id(), [1]).__enter__()


def upload(_: Hub, attention: Attention) -> None:
    attention.expect(new_batch_id())


@pytest.mark.parametrize("begin", [watch_a_batch, upload])
def test_who_waits_for_the_need_is_woken_by_it(begin: Callable[[Hub, Attention], None]) -> None:
    hub, woken = Hub(), []
    attention = Attention(hub)
    threads = [
        Thread(target=lambda: woken.append(attention.wait(NEVER)), daemon=True) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(attention._changed._waiters) == 2)  # type: ignore[attr-defined]
    begin(hub, attention)

    for thread in threads:
        thread.join(DEADLINE_S)
    assert woken == [True, True]


def test_replies_that_came_while_nobody_listened_are_heard_when_somebody_waits(
    web: Web, world: World
) -> None:
    # given a result that was stored when the upload was long ago
    clock = Clock()
    web.services.attention._clock = clock
    url = web.upload(("1.jpg", CHELSEA)).json["url"]
    clock.now += LATELY_S + 1
    world.finish(world.take(1))
    assert not web.services.attention.needed()

    # when somebody asks for it
    web.services.background.start()
    answer = web.get(url, query_string={"wait": "20"})

    assert answer.json["done"] == 1


class Rest:
    """An hour that passes as fast as the turns can be made, one thread after the other."""

    def __init__(self, world: World) -> None:
        self.calls: Counter[str] = Counter()
        self.now = time.time()
        self._within = False
        for queue in (world.requests, world.dead_letters, world.queues, world.store):
            self._count(queue)

    def _count(self, target: Any) -> None:
        for name in dir(target):
            call = getattr(target, name)
            if not name.startswith("_") and callable(call) and name not in {"open", "add"}:
                setattr(target, name, self._counted(name, call))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            if self._within:  # a fake asks itself
                return call(*args, **named)
            self.calls[name] += 1
            self.now += named.get("wait_s", 0)
            self._within = True
            try:
                return call(*args, **named)
            finally:
                self._within = False

        return counted

    def wait(self, seconds: float) -> bool:
        """Wait in vain for somebody to begin to wait."""
        self.now += seconds
        return False

    def hour_of(self, turn: Turn) -> None:
        """Repeat a turn for an hour."""
        ends_at = self.now + 3600
        while self.now < ends_at:
            before = self.now
            rest_s = turn()
            assert self.now + rest_s > before, "it does not rest"
            self.now += rest_s


def test_a_process_at_rest_makes_few_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = Rest(world)
    monkeypatch.setattr(Attention, "wait", lambda _, seconds: rest.wait(seconds))
    web = Web(world)
    rest._count(world.queues.open(web.services.replies.name))
    others = [Web(world) for _ in range(3)]
    rest.calls.clear()

    for name, turn in web.services.background._turns.items():
        if name not in SLEEPERS:
            rest.hour_of(turn)

    assert others
    assert rest.calls.total() < 50, rest.calls
    # and is taken for alive all the time
    assert rest.calls["tag"] >= 12
