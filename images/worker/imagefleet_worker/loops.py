"""The only places where the worker makes threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from imagefleet_worker.health.pulse import Pulse, Pulses

# After a turn that failed in a way nobody thought of.
SURVIVED_PAUSE_S = 1.0

log = structlog.get_logger()


def start(
    name: str,
    turn: Callable[[], float],
    until: threading.Event,
    pulses: Pulses | None = None,
) -> threading.Thread:
    """Take turns in a thread until `until` is set; a turn returns the seconds to pause after it.

    The thread doesn't keep the process from ending.

    Args:
        pulses: where its signs of life are told, if anybody watches.
    """
    pulse = pulses.add(name) if pulses else None

    def loop() -> None:
        while not until.is_set():
            until.wait(_survived(name, turn, pulse))
        if pulse:
            pulse.ended()

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    return thread


def beside(name: str, call: Callable[[], object]) -> None:
    """Call something once in a thread of its own; what it raises is logged and goes no further."""

    def survived() -> None:
        try:
            call()
        except Exception:
            log.exception("failed, going on without", doing=name)

    threading.Thread(target=survived, name=name, daemon=True).start()


def within(seconds: float, call: Callable[[], object]) -> bool:
    """Call something that may hang; return whether it ended in time."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def _survived(name: str, turn: Callable[[], float], pulse: Pulse | None) -> float:
    try:
        pause_s = turn()
    # SystemExit too: whatever exits would only end this thread, and nobody would notice.
    except (Exception, SystemExit):
        log.exception("a turn failed, taking the next one", doing=name)
        if pulse:
            pulse.failed(SURVIVED_PAUSE_S)
        return SURVIVED_PAUSE_S
    if pulse:
        pulse.turned(pause_s)
    return pause_s
