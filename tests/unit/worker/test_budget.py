"""Bytes shared by threads: never too many, first come, first served."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefleet_worker.budget import Budget, BudgetClosed, Reservation


class Queue:
    """Threads that stand in line before a budget, in a known order."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._threads: list[threading.Thread] = []
        self.served: list[int] = []
        self.refused = 0

    def join(self, n: int) -> None:
        """Let a thread ask for `n` bytes, and return once it waits."""
        thread = threading.Thread(target=self._reserve, args=[n])
        self._threads.append(thread)
        thread.start()
        while thread.is_alive() and len(self._budget._waiting) < len(self._threads):
            thread.join(0.001)

    def leave(self) -> None:
        """Wait until all are through."""
        for thread in self._threads:
            thread.join(10)

    def _reserve(self, n: int) -> None:
        try:
            with self._budget.reserve(n):
                self.served.append(n)
        except BudgetClosed:
            self.refused += 1


def test_what_is_reserved_is_used_until_it_is_released() -> None:
    budget = Budget(100)

    with budget.reserve(60):
        other = budget.reserve(40)
        assert budget.used() == 100
    assert budget.used() == 40

    other.release()
    other.release()
    assert budget.used() == 0


def test_a_reservation_of_more_than_there_is_takes_all() -> None:
    budget = Budget(100)

    with budget.reserve(1000) as reservation:
        assert (reservation.n, budget.used()) == (100, 100)
    assert budget.used() == 0


def test_nothing_is_free_even_in_an_empty_budget() -> None:
    with Budget(0).reserve(5) as reservation:
        assert reservation.n == 0


@pytest.mark.parametrize("n", [-1, -100])
def test_there_are_no_negative_bytes(n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} bytes"):
        Budget(100).reserve(n)
    with pytest.raises(ValueError, match=f"{n} bytes"):
        Budget(n)


def test_small_reservations_do_not_starve_a_large_one() -> None:
    # given a budget that is half taken, and somebody who needs all of it
    budget = Budget(100)
    half = budget.reserve(50)
    queue = Queue(budget)
    queue.join(100)

    # when others come, for whom there would be enough
    for _ in range(3):
        queue.join(1)
    assert queue.served == []
    half.release()
    queue.leave()

    # then they are served after it
    assert queue.served == [100, 1, 1, 1]


@settings(max_examples=50)
@given(st.lists(st.integers(51, 200), min_size=1, max_size=6))
def test_who_comes_first_is_served_first(sizes: list[int]) -> None:
    # given reservations of which no two fit in at once
    budget = Budget(100)
    everything = budget.reserve(100)
    queue = Queue(budget)
    for n in sizes:
        queue.join(n)

    everything.release()
    queue.leave()

    assert queue.served == sizes
    assert budget.used() == 0


@settings(max_examples=50)
@given(
    total=st.integers(0, 100),
    threads=st.integers(1, 8),
    sizes=st.lists(st.integers(0, 150), min_size=1, max_size=60),
)
def test_never_more_is_used_than_there_is_and_everybody_is_served(
    total: int, threads: int, sizes: list[int]
) -> None:
    budget, lock = Budget(total), threading.Lock()
    held: list[Reservation] = []
    peaks: list[int] = []

    def use(n: int) -> None:
        with budget.reserve(n) as reservation:
            with lock:
                held.append(reservation)
                peaks.append(sum(each.n for each in held))
                assert budget.used() >= peaks[-1]
            with lock:
                held.remove(reservation)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(use, sizes))

    assert len(peaks) == len(sizes)
    assert max(peaks) <= total
    assert budget.used() == 0


def test_closing_refuses_those_who_wait_and_those_who_come() -> None:
    budget = Budget(100)
    held = budget.reserve(100)
    queue = Queue(budget)
    queue.join(1)
    queue.join(50)

    budget.close()
    queue.leave()

    assert (queue.served, queue.refused) == ([], 2)
    with pytest.raises(BudgetClosed):
        budget.reserve(0)
    held.release()
    assert budget.used() == 0
