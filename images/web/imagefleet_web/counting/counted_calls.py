"""A store and queues whose calls are counted, whatever calls they have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any, cast

from imagefleet_core.queues import Queue, Queues
from imagefleet_core.store import Store

# What looks like a call to AWS and is none.
_LOCAL = {"upload_form"}

# Hears of every call: its name, and the error it ended in, if any.
Told = Callable[[str, BaseException | None], None]


def counted_store(store: Store, told: Told) -> Store:
    """Return the store, whose calls are told."""
    return cast(Store, _Counted(store, told))


def counted_queues(queues: Queues, told: Told) -> Queues:
    """Return the queues, whose calls are told, and those of each queue too."""
    return cast(Queues, _CountedQueues(queues, told))


class _Counted:
    """Stands in for an object of whatever methods, and passes all calls on."""

    def __init__(self, real: Any, told: Told) -> None:
        self._real = real
        self._told = told

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name in _LOCAL or not callable(real):
            return real
        return update_wrapper(partial(_call, self._told, name, real), real)


class _CountedQueues(_Counted):
    def open(self, name: str) -> Queue:
        return cast(Queue, _Counted(self._real.open(name), self._told))  # makes no call

    def create(self, name: str, **about: Any) -> Queue:
        made = _call(self._told, "create", self._real.create, name, **about)
        return cast(Queue, _Counted(made, self._told))


def _call(told: Told, name: str, call: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
    try:
        answer = call(*args, **named)
    except Exception as error:
        told(name, error)
        raise
    told(name, None)
    return answer
