"""Waiting for what EC2 takes minutes for and tells late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

from imagefleet_core.aws import error_code
from imagefleet_core.errors import ImagefleetError

POLL_S = 5.0
# How long what was just made may be unknown to other calls.
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
LAG_S = 120.0

T = TypeVar("T")


def until(
    look: Callable[[], T | None],
    within_s: float,
    late: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return the first thing that a look finds; raises `ImagefleetError` if it is late."""
    deadline = clock() + within_s
    while (found := look()) is None:
        if clock() >= deadline:
            raise ImagefleetError(late)
        sleep(POLL_S)
    return found


def known(look: Callable[[], T]) -> T | None:
    """Return what a look finds, or None of what EC2 doesn't know, or not yet."""
    try:
        return look()
    except ClientError as error:
        if error_code(error).endswith(".NotFound"):
            return None
        raise
