from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread

from hypothesis import given
from hypothesis import strategies as st

from imagefleet_core.jobs import Failure, JobId, Prediction, Result, new_batch_id
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.recent import Recent

BATCH = new_batch_id()
SOON = 0.0
LATER = 20.0


def result(number: int, label: str = "cat", batch: str = BATCH) -> Result:
    now = datetime.now(UTC)
    top = (Prediction(label, 0.9),)
    return Result(JobId(batch, number), "a.jpg", top, None, "model", "worker", now, now, now)


def failure(number: int) -> Result:
    return replace(result(number), top=(), error=Failure("truncated", "It ends too early."))


def within(seconds: float) -> float:
    return time.monotonic() + seconds


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from("ab")), max_size=30))
def test_a_watch_is_told_each_of_its_results_once_in_any_order(
    arrivals: list[tuple[int, str]],
) -> None:
    hub, batches = Hub(), {"a": BATCH, "b": new_batch_id()}
    with hub.watch(BATCH, {1, 2, 3}) as watch:
        for number, batch in arrivals:
            hub.publish(result(number, batch=batches[batch]))
        told = [each.job.number for each in watch.arrivals(within(SOON))]

    expected = {number for number, batch in arrivals if batch == "a" and number <= 3}
    assert len(told) == len(set(told))
    assert set(told) == expected
    assert watch.complete == (expected == {1, 2, 3})
    assert watch.missing == {1, 2, 3} - expected


def test_what_is_known_already_is_told_at_once() -> None:
    hub = Hub()
    hub.publish(result(1))

    with hub.watch(BATCH, [1]) as watch:
        assert [each.job.number for each in watch.arrivals(within(LATER))] == [1]


def test_a_watch_on_nothing_is_complete() -> None:
    with Hub().watch(BATCH, []) as watch:
        assert watch.complete
        assert list(watch.arrivals(within(LATER))) == []


def test_everybody_who_waits_for_a_result_is_told() -> None:
    hub, told = Hub(), []

    def wait() -> None:
        with hub.watch(BATCH, [1, 2]) as watch:
            told.append([each.job.number for each in watch.arrivals(within(LATER))])

    threads = [Thread(target=wait) for _ in range(50)]
    for thread in threads:
        thread.start()
    for number in (2, 1):
        hub.publish(result(number))
    for thread in threads:
        thread.join()

    assert sorted(map(sorted, told)) == [[1, 2]] * 50
    assert hub.wanted() == {}


def test_what_is_wanted_is_what_somebody_still_waits_for() -> None:
    hub = Hub()
    with hub.watch(BATCH, [1, 2]), hub.watch(BATCH, [2, 3]):
        hub.publish(result(2))
        assert hub.wanted() == {BATCH: {1, 3}}
    assert hub.wanted() == {}


def test_a_failure_is_not_recalled_as_it_may_have_been_put_right() -> None:
    hub = Hub()

    hub.publish(failure(1))

    assert hub.recall(JobId(BATCH, 1)) is None


def test_a_label_is_not_replaced_by_a_late_failure() -> None:
    hub = Hub()
    for each in (failure(1), result(1, "cat"), failure(1)):
        hub.publish(each)

    recalled = hub.recall(JobId(BATCH, 1))
    assert recalled is not None
    assert recalled.label == "cat"


def test_only_the_latest_results_are_remembered() -> None:
    hub = Hub(remembered=2)
    for number in (1, 2, 1, 3):
        hub.publish(result(number))

    assert [hub.recall(JobId(BATCH, number)) is not None for number in (1, 2, 3)] == [
        True,
        False,
        True,
    ]


def output(number: int, size: int) -> Result:
    return replace(result(number), top=(), output={"text": "x" * (size - len('{"text": ""}'))})


def test_outputs_take_no_more_memory_than_they_may() -> None:
    recent = Recent(100, most_output_bytes=1000)
    for each in (result(1), output(2, 400), output(3, 600), output(2, 300), output(4, 100)):
        recent.put(each)
    assert [recent.get(JobId(BATCH, number)) is not None for number in (1, 2, 3, 4)] == [True] * 4

    recent.put(output(5, 13))

    assert [recent.get(JobId(BATCH, number)) is not None for number in (1, 2, 3, 4, 5)] == [
        False,
        True,
        False,
        True,
        True,
    ]


def test_an_output_larger_than_all_may_be_is_not_remembered() -> None:
    recent = Recent(100, most_output_bytes=1000)
    recent.put(output(1, 1001))
    recent.put(output(2, 1000))

    assert recent.get(JobId(BATCH, 1)) is None
    assert recent.get(JobId(BATCH, 2)) is not None


def test_a_closed_hub_lets_everybody_go_and_holds_nobody() -> None:
    hub = Hub()
    with hub.watch(BATCH, [1, 2]) as watch:
        hub.publish(result(1))
        hub.close()
        assert [each.job.number for each in watch.arrivals(within(LATER))] == [1]
        assert list(watch.arrivals(within(LATER))) == []
    assert watch.released

    with hub.watch(BATCH, [1, 2]) as late:
        assert list(late.arrivals(within(LATER))) == []
