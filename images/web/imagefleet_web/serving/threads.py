"""How many threads a server process has, and how many of them may be held at AWS's pleasure.

A request that waits for results only parks its thread, which takes some memory and no CPU; the
threads are made as they are needed.
"""

from __future__ import annotations

from imagefleet_web.settings import WebSettings

# Beside those of the requests that wait: for uploads on their way, the page, health checks.
SPARE = 128
# Of these, for requests that ask AWS for nothing: answered within milliseconds, so a few do.
KEPT = 16


def in_all(settings: WebSettings) -> int:
    """Return how many requests a process serves at once."""
    return settings.max_waiting + SPARE


def for_askers(settings: WebSettings) -> int:
    """Return how many of them may be such as ask AWS for something, those that wait included."""
    return in_all(settings) - KEPT
