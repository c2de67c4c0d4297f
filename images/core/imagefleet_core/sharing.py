"""Calls for a few items each, made by many threads at once, put together into fewer calls.

Who finds no call under way makes one at once. What comes meanwhile goes together into the next
one, which the first of those who wait for it makes. So who is alone never waits, and the more come
the fewer calls each of them costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Generic, TypeVar

T = TypeVar("T")

# Who has waited for so long makes a call beside the one that takes longer.
PATIENCE_S = 0.05


class Shared(Generic[T]):
    """A call that threads share.

    Args:
        call: makes one; returns for each item what went wrong with it, or None. What it raises
            went wrong with all of them.
        most: how many items a call takes.
    """

    def __init__(
        self,
        call: Callable[[list[T]], Sequence[Exception | None]],
        most: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._call = call
        self._most = most
        self._patience_s = patience_s
        self._lock = Lock()
        self._under_way = 0
        self._waiting: deque[_Share[T]] = deque()

    def __call__(self, items: Sequence[T]) -> None:
        """Make a call for `items`, at most `most` of them, maybe together with those of others.

        Raises:
            Exception: what went wrong with the first of them that anything went wrong with.
        """
        mine = _Share(items)
        if self._begins(mine) or self._leads(mine):
            self._make(mine)
        if mine.error is not None:
            raise mine.error

    def _begins(self, mine: _Share[T]) -> bool:
        """Return whether no call is under way; else wait for the next one."""
        with self._lock:
            if self._under_way:
                self._waiting.append(mine)
                return False
            self._under_way += 1
            return True

    def _leads(self, mine: _Share[T]) -> bool:
        """Return whether this thread is to make a call, once that is known; if not, it is made."""
        if not mine.woken.wait(self._patience_s):
            with self._lock:
                if not mine.taken:
                    mine.taken = True
                    self._waiting.remove(mine)
                    self._under_way += 1
                    return True
            mine.woken.wait()  # no longer than the call takes that it is part of
        return mine.leads

    def _make(self, mine: _Share[T]) -> None:
        shares = [mine, *self._others(self._most - len(mine.items))]
        items = [item for share in shares for item in share.items]
        try:
            told = iter(self._call(items))
            for share in shares:
                wrong = [next(told) for _ in share.items]
                share.error = next((error for error in wrong if error), None)
        except Exception as error:
            for share in shares:
                share.error = error
            raise
        finally:
            for share in shares[1:]:
                share.woken.set()
            self._pass_on()

    def _others(self, room: int) -> list[_Share[T]]:
        """Take those who wait, in turn, while all of their items have room."""
        others = []
        with self._lock:
            while self._waiting and len(self._waiting[0].items) <= room:
                share = self._waiting.popleft()
                share.taken = True
                room -= len(share.items)
                others.append(share)
        return others

    def _pass_on(self) -> None:
        """Let the first of those who wait make the next call."""
        with self._lock:
            if not self._waiting:
                self._under_way -= 1
                return
            following = self._waiting.popleft()
            following.taken = following.leads = True
        following.woken.set()


class _Share(Generic[T]):
    """One thread's part of a call.

    Attributes:
        taken: whether it is known who makes the call that it is part of.
        leads: whether that is the thread itself.
        error: what went wrong with it; at first that nobody made the call to its end.
    """

    __slots__ = ("error", "items", "leads", "taken", "woken")

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.taken = self.leads = False
        self.woken = Event()
        self.error: Exception | None = RuntimeError("a shared call was not made to its end")
